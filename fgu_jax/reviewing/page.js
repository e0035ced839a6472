// After answers.js: what is shown, and what is done with it.

// --- Questions -----------------------------------------------------------------------

function nextQuestion() {
  const asked = new Set(
    actions.filter((action) => action.kind === "answer").map((action) => action.question),
  );
  let left = 0;
  let next = null;
  data.questions.forEach(([a, b], question) => {
    if (asked.has(question) || groups.known(a, b)) return;
    left += 1;
    next ??= question;
  });
  return { next, left, asked: asked.size };
}

function drawSide(figure, row, others) {
  const [, file, camera, date] = data.images[row];
  const image = figure.querySelector("img");
  image.src = "thumbnails/" + file;
  image.alt = shown(row);
  const more = [date, camera && `camera ${camera}`].filter(Boolean).join(", ");
  figure.querySelector("figcaption").textContent = shown(row) + (more ? "\n" + more : "");
  figure.querySelector(".others").replaceChildren(...others.map((other) => picture(other, false)));
}

function drawQuestion() {
  const { next, left, asked } = nextQuestion();
  const all = data.questions.length;
  const known = all - left - asked;
  $("count").textContent =
    `${number.format(asked)} answered` +
    (known ? `, ${number.format(known)} known from other answers` : "") +
    `, ${number.format(left)} left; the first count most`;
  $("progress").max = Math.max(1, all);
  $("progress").value = all - left;
  $("asking").hidden = next === null;
  $("done").hidden = next !== null;
  current = next;
  if (next === null) return;
  const [a, b, within, sizeA, sizeB, othersA, othersB] = data.questions[next];
  $("why").textContent = within
    ? `If not, a cluster of ${plural(sizeA + sizeB, "image")} falls into ${sizeA} and ${sizeB}.`
    : `If so, clusters of ${plural(sizeA, "image")} and ${sizeB} become one.`;
  const [first, second] = $("asking").querySelectorAll("figure");
  drawSide(first, a, othersA);
  drawSide(second, b, othersB);
  for (const [ahead, otherAhead] of data.questions.slice(next + 1, next + 4)) {
    for (const row of [ahead, otherAhead]) new Image().src = "thumbnails/" + data.images[row][1];
  }
}

function answer(word) {
  if (current === null) return;
  const [a, b] = data.questions[current];
  const same = { same: true, different: false, skip: null }[word];
  tell("");
  act({ kind: "answer", question: current, a, b, same });
}

// --- Clusters ------------------------------------------------------------------------

// Clusters after what was done: joined where images of two are the same individual, and
// without what was split off. What else an answer changes, clustering again will show.
function makeClusters() {
  const label = Int32Array.from(data.labels);
  const members = data.sizes.map(() => []);
  label.forEach((cluster, row) => members[cluster].push(row));
  const join = (a, b) => {
    const [to, from] = [label[a], label[b]];
    if (to === from) return;
    for (const row of members[from]) label[row] = to;
    members[to].push(...members[from]);
    members[from] = [];
  };
  for (const action of actions) {
    if (action.kind === "split") {
      const parts = action.together ? [action.out] : action.out.map((row) => [row]);
      for (const part of parts) {
        for (const row of part) {
          const from = members[label[row]];
          from.splice(from.indexOf(row), 1);
          label[row] = members.length;
        }
        members.push([...part]);
      }
    } else {
      for (const [a, b, same] of pairsOf(action)) if (same) join(a, b);
    }
  }
  const names = allNames(actions);
  const list = [];
  members.forEach((rows, id) => {
    if (!rows.length) return;
    const named = rows.find((row) => names.has(row));
    list.push({ id, rows, name: named === undefined ? "" : names.get(named), named });
  });
  // What was split off comes first, the newest on top; then the largest.
  const split = (cluster) => (cluster.id < data.sizes.length ? -1 : cluster.id);
  list.sort((x, y) => split(y) - split(x) || y.rows.length - x.rows.length || x.id - y.id);
  return { list, label, members };
}

let ticked = new Set(); // ids of clusters
let drawnCards = [];
let opened = null; // id of the cluster that is looked at
let chosen = new Set(); // its images that are ticked

function titleOf(cluster) {
  const name = cluster.name ? `${cluster.name}, ` : "";
  const old = cluster.id < data.sizes.length ? `cluster ${cluster.id}` : "split off";
  return `${name}${old}: ${plural(cluster.rows.length, "image")}`;
}

function makeCard(cluster, tick) {
  const card = element("div", "card");
  const label = element("label");
  if (tick) {
    const box = element("input");
    box.type = "checkbox";
    box.checked = ticked.has(cluster.id);
    box.dataset.cluster = cluster.id;
    card.classList.toggle("chosen", box.checked);
    label.append(box);
  }
  label.append(element("span", "", titleOf(cluster)));
  const open = element("button", "open");
  open.type = "button";
  open.dataset.open = cluster.id;
  open.setAttribute("aria-label", `Open ${titleOf(cluster)}`);
  open.append(...cluster.rows.slice(0, 5).map((row) => picture(row)));
  card.append(label, open);
  return card;
}

function drawClusters() {
  clusters ??= makeClusters();
  const wanted = $("filter").value.trim().toLowerCase();
  drawnCards = clusters.list.filter(
    (cluster) =>
      !wanted ||
      String(cluster.id) === wanted ||
      cluster.name.toLowerCase().includes(wanted) ||
      cluster.rows.some((row) => shown(row).toLowerCase().includes(wanted)),
  );
  const there = new Set(clusters.list.map((cluster) => cluster.id));
  ticked = new Set([...ticked].filter((id) => there.has(id)));
  const height = $("cards").children.length;
  $("cards").replaceChildren();
  moreCards(Math.max(CARDS, height));
  $("merge").disabled = ticked.size < 2;
  $("merge").textContent = ticked.size < 2 ? "Merge the ticked" : `Merge ${ticked.size} clusters`;
}

function moreCards(count = CARDS) {
  const have = $("cards").children.length;
  const next = drawnCards.slice(have, have + count);
  $("cards").append(...next.map((cluster) => makeCard(cluster, true)));
}

function clusterOf(id) {
  return clusters.list.find((cluster) => cluster.id === id);
}

// A picture that stands for a cluster: the most typical one of it, where it is there.
function typical(cluster) {
  const first = cluster.id < data.typical.length ? data.typical[cluster.id] : -1;
  return cluster.rows.includes(first) ? first : cluster.rows[0];
}

function merge(list) {
  const rows = list.map(typical);
  const done = act({ kind: "merge", rows });
  if (done) tell(`Merged ${list.length} clusters`);
  return done;
}

function look(id) {
  opened = id;
  chosen = new Set();
  drawLook();
  if (!$("look").open) $("look").showModal();
}

function drawLook() {
  clusters ??= makeClusters();
  const cluster = clusterOf(opened);
  $("look-title").textContent = titleOf(cluster);
  $("name").value = cluster.name;
  $("members").replaceChildren();
  moreImages();
  tickImages();
  const near = new Map();
  for (const row of cluster.rows.slice(0, 1).concat(typical(cluster))) {
    for (const other of data.alike[data.labels[row]]) {
      const id = clusters.label[data.typical[other]];
      if (id !== opened) near.set(id, clusterOf(id));
    }
  }
  $("near").hidden = !near.size;
  const cards = [...near.values()].map((other) => {
    const card = makeCard(other, false);
    const join = element("button", "", "Merge with this one");
    join.type = "button";
    join.dataset.join = other.id;
    card.append(join);
    return card;
  });
  $("near").lastElementChild.replaceChildren(...cards);
}

function moreImages() {
  const { rows } = clusterOf(opened);
  const have = $("members").children.length;
  const next = rows.slice(have, have + IMAGES).map((row) => {
    const button = element("button", "match");
    button.type = "button";
    button.dataset.row = row;
    button.setAttribute("aria-pressed", chosen.has(row));
    button.append(picture(row), element("span", "", shown(row)));
    return button;
  });
  $("members").append(...next);
}

function tickImages() {
  const some = chosen.size > 0 && chosen.size < clusterOf(opened).rows.length;
  $("split").disabled = $("apart").disabled = !some;
}

function split(together) {
  const out = [...chosen];
  const rest = clusterOf(opened).rows.filter((row) => !chosen.has(row));
  if (!act({ kind: "split", out, rest, together })) return;
  tell(`Split ${plural(out.length, "image")} off`);
  $("look").close();
}

// --- The page ------------------------------------------------------------------------

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
  if (event.altKey || $("look").open || event.target.matches("input:not([type=checkbox])")) return;
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
  const cluster = clusterOf(opened);
  const name = $("name").value.trim();
  const row = cluster.named ?? typical(cluster);
  if (name === cluster.name || !act({ kind: "name", row, name })) return;
  tell(name ? `Named ${name}` : "The name is taken away");
  drawLook();
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved && !storage) event.preventDefault();
});

restore();
groups = closure(actions);
whenNear($("more"), null, () => {
  if (!$("clusters").hidden) moreCards();
});
whenNear($("further"), $("look"), () => {
  if ($("look").open) moreImages();
});
draw();
document.documentElement.dataset.ready = "";
