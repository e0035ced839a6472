// After all others: what is shown, and what keys and clicks do.

const TYPED = "input[type=search], input[type=text], textarea"; // letters go into these

function draw() {
  $("undo").disabled = !actions.length;
  if ($("clusters").hidden) drawQuestion();
  else drawClusters();
}

function show(section) {
  for (const name of ["questions", "clusters"]) {
    $(name).hidden = name !== section;
    $("to-" + name).setAttribute("aria-selected", name === section);
  }
  draw();
}

function whenNear(sentinel, root, more) {
  const watch = new IntersectionObserver(
    ([entry]) => {
      if (!entry.isIntersecting) return;
      more();
      watch.unobserve(sentinel); // and again, should it still be near
      watch.observe(sentinel);
    },
    { root, rootMargin: "600px" },
  );
  watch.observe(sentinel);
}

$("to-questions").addEventListener("click", () => show("questions"));
$("to-clusters").addEventListener("click", () => show("clusters"));
$("undo").addEventListener("click", undo);
$("save").addEventListener("click", save);
$("open").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) openFile(file);
  event.target.value = "";
});
$("answers").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) answer(button.dataset.answer);
});
document.addEventListener("keydown", (event) => {
  if (event.repeat) {
    if (event.target.matches("button")) event.preventDefault(); // else it is pressed again
    return;
  }
  if (event.altKey || $("look").open || event.target.matches(TYPED)) return;
  if (document.body.inert) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key !== "z") return;
  if (key === "u" || key === "z") {
    if (key === "z" && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    undo();
    return;
  }
  const word = { s: "same", d: "different", k: "skip" }[key];
  if (word && !$("questions").hidden) answer(word);
});
$("filter").addEventListener("input", () => {
  $("cards").replaceChildren();
  drawClusters();
});
$("cards").addEventListener("change", (event) => {
  const id = Number(event.target.dataset.cluster);
  if (event.target.checked) ticked.add(id);
  else ticked.delete(id);
  drawClusters();
  $("cards").querySelector(`[data-cluster="${id}"]`).focus({ preventScroll: true });
});
$("clusters").addEventListener("click", (event) => {
  const open = event.target.closest("[data-open]");
  if (open) look(Number(open.dataset.open));
});
$("merge").addEventListener("click", () => {
  const list = [...ticked].map(clusterOf);
  if (merge(list)) {
    ticked.clear();
    drawClusters();
  }
});
$("look").addEventListener("click", (event) => {
  const image = event.target.closest("[data-row]");
  const join = event.target.closest("[data-join]");
  const open = event.target.closest("[data-open]");
  if (image) {
    const row = Number(image.dataset.row);
    if (!chosen.delete(row)) chosen.add(row);
    image.setAttribute("aria-pressed", chosen.has(row));
    tickImages();
  } else if (join) {
    const row = typical(clusterOf(opened));
    if (!merge([opened, Number(join.dataset.join)].map(clusterOf))) return;
    clusters ??= makeClusters();
    look(clusters.label[row]);
  } else if (open) look(Number(open.dataset.open));
  else if (event.target === $("look")) $("look").close();
});
$("split").addEventListener("click", () => split(true));
$("apart").addEventListener("click", () => split(false));
$("close").addEventListener("click", () => $("look").close());
$("naming").addEventListener("submit", (event) => {
  event.preventDefault();
  giveName($("name").value.trim());
});
tabs.onmessage = () => keep();
for (const moment of ["focus", "pageshow"]) window.addEventListener(moment, () => keep());
window.addEventListener("beforeunload", (event) => {
  if (base ? steps.length : unsaved) event.preventDefault();
});

function start() {
  actions = [...sure];
  if (actions.length) {
    tell(`Going on where you stopped: ${plural(actions.length, "step")} kept in this browser`);
  }
  groups = closure(actions);
  whenNear($("more"), null, () => {
    if (!$("clusters").hidden) moreCards();
  });
  whenNear($("further"), $("look"), () => {
    if ($("look").open) moreImages();
  });
  draw();
  document.body.inert = false;
  document.documentElement.dataset.ready = "";
}

document.body.inert = true; // nothing is answered before it is seen what is kept
keep().then(start);
