// After answers.js: what is kept in the browser, and what is told.
//
// IndexedDB keeps it. Of localStorage, Chromium has at times handed a page that took the
// place of another file's what that one held of it: out of date, and what was written there
// was lost.

const STORE = "kept";
const PATIENCE = 5000; // ms; some browsers never answer, where others say no
const tabs = new BroadcastChannel(KEY); // other tabs of this page
let base = null; // the database; null: nothing can be kept
let seen = null; // what it held when this page last looked, or kept there
let steps = []; // what was done since then; null: the last was taken back
let turns = 0; // transactions that have not ended

function openBase() {
  return new Promise((opened, failed) => {
    const request = window.indexedDB.open("fgu_jax review", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => opened(request.result);
    request.onerror = () => failed(request.error);
    setTimeout(failed, PATIENCE);
  });
}

// Gives what is kept to ``choose``, and keeps what that returns, if anything; no other tab
// comes between the two.
function exchange(choose) {
  return new Promise((ended, failed) => {
    const transaction = base.transaction(STORE, "readwrite");
    const kept = transaction.objectStore(STORE);
    const found = kept.get(KEY);
    let text;
    found.onsuccess = () => {
      text = choose(found.result ?? null);
      if (text !== undefined) kept.put(text, KEY);
    };
    transaction.oncomplete = () => {
      if (text !== undefined) tabs.postMessage("");
      ended();
    };
    transaction.onabort = () => failed(transaction.error);
  });
}

async function restore() {
  try {
    base = await openBase();
    await exchange((found) => void (seen = found));
  } catch {
    base = null;
    notice(
      "This browser keeps nothing of this page: save answers.csv before you close it. " +
        "Open takes it in again.",
    );
    return;
  }
  const kept = listOf(seen);
  if (!kept?.length) return;
  actions = kept;
  tell(`Going on where you stopped: ${plural(actions.length, "step")} kept in this browser`);
}

// Keeps what was done here, after what another tab kept since.
async function keep(step) {
  if (!base) return;
  if (step !== undefined) steps.push(step);
  turns += 1;
  try {
    await exchange(settle);
  } catch {
    base = null;
    notice("This browser keeps your answers no longer: save answers.csv now and then.");
  }
  turns -= 1;
}

function settle(found) {
  const kept = found === seen ? null : listOf(found);
  const done = steps;
  steps = [];
  if (!kept) return done.length ? (seen = JSON.stringify(actions)) : undefined;
  seen = found;
  takeOver(kept);
  const again = [];
  for (const step of done) step ? again.push(step) : again.pop();
  again.forEach(act);
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
