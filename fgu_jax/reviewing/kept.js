// After answers.js: what is kept in the browser, and what is told.

function keep() {
  if (!storage) return;
  try {
    storage.setItem(KEY, JSON.stringify(actions));
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
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "[]");
    if (!kept.length || closure(kept).against) return;
    actions = kept;
    tell(`Going on where you stopped: ${plural(actions.length, "step")} kept in this browser`);
  } catch {
    storage.removeItem(KEY); // not what this page wrote
  }
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = false;
}

function tell(text) {
  $("told").textContent = text;
}
