// After answers.js: what is kept in the browser, and what is told.
//
// IndexedDB keeps it. Of localStorage, Chromium has at times handed a page that took the
// place of another file's what that one held of it: out of date, and what was written there
// was lost.

const STORE = "kept";
const PATIENCE = 5000; // ms; some browsers never answer, where others say no
const NOTHING_KEPT =
  "This browser keeps nothing of this page: save answers.csv before you close it. " +
  "Open takes it in again.";
const tabs = channel(); // other tabs of this page
let base = null; // the database, while it is open
let sure = []; // actions that are kept, as far as this page has seen
let seen = null; // their text
let steps = []; // what was done since: actions, and {undone: action}
let busy = false; // a transaction is under way
let again = false; // and another one is to follow

function channel() {
  try {
    return new BroadcastChannel(KEY);
  } catch {
    return { postMessage() {} }; // forbidden with cookies in Firefox
  }
}

function openBase() {
  return new Promise((opened, failed) => {
    let late = false;
    const request = window.indexedDB.open("fgu_jax review", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => {
      const database = request.result;
      if (late) return database.close();
      database.onversionchange = () => database.close();
      database.onclose = () => {
        if (base === database) base = null; // by a browser that was asleep
      };
      opened(database);
    };
    request.onerror = () => failed(request.error);
    setTimeout(() => failed((late = true)), PATIENCE);
  });
}

// One transaction, so that no other tab comes between what is kept and these steps on top
// of it: the text that was kept, the actions after it, and why a step is not among them.
function exchange(now) {
  return new Promise((ended, failed) => {
    const transaction = base.transaction(STORE, "readwrite");
    const kept = transaction.objectStore(STORE);
    const request = kept.get(KEY);
    let result;
    request.onsuccess = () => {
      const found = request.result ?? null;
      const list = found === seen ? null : listOf(found);
      result = { found, theirs: list !== null, ...replay(list ?? sure, now) };
      if (now.length) kept.put(JSON.stringify(result.list), KEY);
    };
    transaction.oncomplete = () => ended(result);
    transaction.onabort = () => failed(transaction.error);
    setTimeout(() => {
      try {
        transaction.abort(); // else it might still come through
      } catch {} // it has ended
      failed();
    }, PATIENCE);
  });
}

function replay(before, todo) {
  const list = [...before];
  let against = null;
  for (const step of todo) {
    const text = JSON.stringify(step.undone ?? step);
    const at = list.findLastIndex((action) => JSON.stringify(action) === text);
    if (step.undone) {
      if (at >= 0) list.splice(at, 1);
    } else if (step.kind !== "answer" || at < 0) {
      const tried = closure([...list, step]);
      if (!tried.against) list.push(step);
      against ??= tried.against;
    }
  }
  return { list, against };
}

// Keeps a step, and takes over what other tabs kept. What could not be kept is tried again
// with the next step, and when one comes back to the page.
async function keep(step) {
  if (step) steps.push(step);
  again = true;
  if (busy) return;
  busy = true;
  while (again) {
    again = false;
    const now = [...steps];
    const old = base;
    try {
      base ??= await openBase();
      const result = await exchange(now);
      $("notice").hidden = true;
      settle(result, now.length);
    } catch {
      base = null;
      if (old) again = true; // once more, by a new connection
      else notice(NOTHING_KEPT);
    }
  }
  busy = false;
}

function settle({ found, theirs, list, against }, count) {
  sure = list;
  seen = count ? JSON.stringify(list) : found;
  steps.splice(0, count);
  if (count) tabs.postMessage("");
  if (!theirs || document.body.inert) return;
  const since = replay(list, steps);
  takeOver(since.list);
  against ??= since.against;
  if (against) tell(`Not taken: ${against}. Undo that first.`);
}

function takeOver(kept) {
  const before = clusters ?? makeClusters();
  actions = kept;
  groups = closure(actions);
  unsaved = true;
  renumber(before);
  draw();
  tell(`Answered in another tab: ${plural(actions.length, "step")} in all`);
}

// Actions that were kept; null where this page did not write them.
function listOf(text) {
  try {
    const list = JSON.parse(text);
    return Array.isArray(list) && !closure(list).against ? list : null;
  } catch {
    return null;
  }
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
}

// In the bar, and in the cluster that is open, as nothing behind it is seen.
function tell(text) {
  $("told").textContent = $("told-here").textContent = text;
}
