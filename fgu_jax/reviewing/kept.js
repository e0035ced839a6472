// After answers.js: what is kept in the browser, and what is told.

function keep() {
  if (!storage) return;
  const text = JSON.stringify(actions);
  try {
    storage.setItem(KEY, text);
    written = text;
  } catch {
    storage = null;
    notice("This browser has no room left to keep your answers: save answers.csv now and then.");
  }
}

function restore() {
  try {
    storage = window.localStorage;
    storage.setItem(KEY + " tried", "1");
    storage.removeItem(KEY + " tried");
  } catch {
    storage = null;
    notice(
      "This browser keeps nothing of this page: save answers.csv before you close it. " +
        "Open takes it in again.",
    );
    return;
  }
  written = storage.getItem(KEY);
  const kept = listOf(written);
  if (!kept?.length) return;
  actions = kept;
  goingOn();
}

function goingOn() {
  tell(`Going on where you stopped: ${plural(actions.length, "step")} kept in this browser`);
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

// What another tab of this page kept since counts here too: is there any?
function takeOver() {
  const text = storage?.getItem(KEY) ?? null;
  if (text === null || text === written) return false;
  written = text;
  const kept = listOf(text);
  if (!kept) return false;
  const before = clusters ?? makeClusters();
  actions = kept;
  groups = closure(actions);
  unsaved = true;
  renumber(before);
  draw();
  tell(`Answered in another tab: ${plural(actions.length, "step")} in all`);
  return true;
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
}

// In the bar, and in the cluster that is open, as nothing behind it is seen.
function tell(text) {
  $("told").textContent = $("told-here").textContent = text;
}
