"use strict";
// Rows of images are numbers everywhere; names are spelt out when answers are saved.
const data = JSON.parse(document.getElementById("data").textContent);
const number = new Intl.NumberFormat("en");
const $ = (id) => document.getElementById(id);
const KEY = "fgu_jax review " + data.id;
const CARDS = 60; // clusters, and images of one, that are drawn at a time
const IMAGES = 90;

let actions = []; // what was done here, in its order; undo takes the last back
let groups; // of what the answers tie together; null: to be made again
let clusters = null; // as they are after the answers; null: to be made again
let current = null; // the question that is shown
let storage = null;
let unsaved = false;

const shown = (row) => data.images[row][4] ?? data.images[row][0];
const plural = (count, what) => `${number.format(count)} ${what}${count === 1 ? "" : "s"}`;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function picture(row, lazy = true) {
  const image = element("img");
  if (lazy) image.loading = "lazy";
  image.decoding = "async";
  image.alt = "";
  image.title = shown(row);
  image.src = "thumbnails/" + data.images[row][1];
  return image;
}

// --- What the answers say ------------------------------------------------------------

// Pairs [row, other, same] that an action stands for.
function pairsOf(action) {
  const { kind } = action;
  if (kind === "answer") return action.same === null ? [] : [[action.a, action.b, action.same]];
  if (kind === "merge") return action.rows.slice(1).map((row) => [action.rows[0], row, true]);
  if (kind === "split") {
    const { out, rest, together } = action;
    if (!together) return out.flatMap((a) => rest.map((b) => [a, b, false]));
    const one = out.slice(1).map((row) => [out[0], row, true]);
    return [...one, ...rest.map((row) => [out[0], row, false])];
  }
  if (kind === "opened") return action.pairs;
  return [];
}

// Names [row, name] that an action stands for.
function namesOf(action) {
  if (action.kind === "name") return [[action.row, action.name]];
  return action.kind === "opened" ? action.names : [];
}

function allPairs(list) {
  return [...data.given.map(([a, b, same]) => [a, b, Boolean(same)]), ...list.flatMap(pairsOf)];
}

// The last name that a row was given; an empty one takes it away.
function allNames(list) {
  const names = new Map(data.names);
  for (const [row, name] of list.flatMap(namesOf)) names.set(row, name);
  for (const [row, name] of names) if (!name) names.delete(row);
  return names;
}

function union(count) {
  const parent = new Int32Array(count).map((_, row) => row);
  const find = (row) => {
    while (parent[row] !== row) row = parent[row] = parent[parent[row]];
    return row;
  };
  const join = (a, b) => {
    const [low, high] = [find(a), find(b)].sort((x, y) => x - y);
    parent[high] = low;
  };
  return { find, join };
}

// What is tied together and kept apart, or why that cannot be: {find, apart, against}.
function closure(list) {
  const { find, join } = union(data.images.length);
  const pairs = allPairs(list);
  const names = allNames(list);
  for (const [a, b, same] of pairs) if (same) join(a, b);
  const named = new Map(); // a row of each name
  for (const [row, name] of names) {
    if (named.has(name)) join(named.get(name), row);
    else named.set(name, row);
  }
  let against = null;
  const apart = new Set();
  const keep = (a, b) => {
    apart.add(find(a) + " " + find(b)).add(find(b) + " " + find(a));
  };
  for (const [a, b, same] of pairs) {
    if (same) continue;
    if (find(a) === find(b)) against ??= `${shown(a)} and ${shown(b)} were told apart`;
    keep(a, b);
  }
  const of = new Map();
  for (const [name, row] of named) {
    const other = of.get(find(row));
    if (other !== undefined) against ??= `one individual would be named ${other} and ${name}`;
    of.set(find(row), name);
  }
  const known = (a, b) => {
    const [x, y] = [find(a), find(b)];
    if (x === y || apart.has(x + " " + y)) return true;
    return of.has(x) && of.has(y); // two names are two individuals
  };
  return { find, known, against, of };
}

function act(action) {
  const tried = closure([...actions, action]);
  if (tried.against) {
    tell(`Not taken: ${tried.against}. Undo that first.`);
    return false;
  }
  actions.push(action);
  changed(tried);
  return true;
}

function undo() {
  const last = actions.pop();
  if (!last) return;
  tell(`Taken back: ${{ answer: "an answer", merge: "a merge", split: "a split" }[last.kind] ?? last.kind}`);
  changed(null);
}

function changed(made) {
  groups = made ?? closure(actions);
  clusters = null;
  unsaved = true;
  keep();
  draw();
}

// --- Kept in the browser -------------------------------------------------------------

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

// --- answers.csv ---------------------------------------------------------------------

// Bytes of names that are not UTF-8 stand as lone surrogates, and go out as they were.
function bytesOf(text) {
  const encoder = new TextEncoder();
  const parts = text.split(/([\udc80-\udcff])/u).map((part) => {
    const code = part.length === 1 ? part.charCodeAt(0) : 0;
    return code >= 0xdc80 && code <= 0xdcff ? Uint8Array.of(code - 0xdc00) : encoder.encode(part);
  });
  return parts;
}

function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    let text = "";
    const decoder = new TextDecoder("utf-8", { fatal: true });
    for (let at = 0; at < bytes.length; ) {
      let width = 0;
      for (let wide = 4; wide > 0 && !width; wide--) {
        try {
          const part = decoder.decode(bytes.subarray(at, at + wide));
          if ([...part].length !== 1) continue;
          text += part;
          width = wide;
        } catch {} // not that wide
      }
      if (!width) text += String.fromCharCode(0xdc00 + bytes[at]);
      at += width || 1;
    }
    return text.replace(/^\ufeff/, "");
  }
}

function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function answersText() {
  const lines = ["image,other,same,name"];
  const seen = new Set();
  const name = (row) => quoted(data.images[row][0]);
  for (const [a, b, same] of allPairs(actions)) {
    const line = `${name(a)},${name(b)},${same ? "yes" : "no"},`;
    if (!seen.has(line)) lines.push(line);
    seen.add(line);
  }
  for (const [row, given] of allNames(actions)) lines.push(`${name(row)},,,${quoted(given)}`);
  return lines.join("\r\n") + "\r\n";
}

function save() {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(bytesOf(answersText()), { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  unsaved = false;
  const pairs = new Set(allPairs(actions).map(String)).size;
  tell(`Saved: ${plural(pairs, "pair")}, ${plural(allNames(actions).size, "name")}`);
}

function fieldsOf(text) {
  const rows = [[""]];
  let inside = false;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    const row = rows[rows.length - 1];
    if (inside && letter === '"' && text[at + 1] === '"') row[row.length - 1] += text[++at];
    else if (letter === '"') inside = !inside;
    else if (!inside && letter === ",") row.push("");
    else if (!inside && letter === "\n") rows.push([""]);
    else if (inside || letter !== "\r") row[row.length - 1] += letter;
  }
  return rows.filter((row) => row.length > 1 || row[0]);
}

function readAnswers(text) {
  const [head = [], ...lines] = fieldsOf(text);
  const at = Object.fromEntries(head.map((name, place) => [name.trim(), place]));
  if (!("image" in at) || !("other" in at) || !("same" in at)) {
    throw new Error("its first line is not image,other,same");
  }
  const rowOf = new Map(data.images.map((image, row) => [image[0], row]));
  const action = { kind: "opened", pairs: [], names: [] };
  lines.forEach((line, place) => {
    const where = `line ${place + 2}`;
    const find = (name) => {
      if (!rowOf.has(name)) throw new Error(`${where}: no image ${name}`);
      return rowOf.get(name);
    };
    const a = find(line[at.image]);
    const given = at.name === undefined ? "" : (line[at.name] ?? "").trim();
    const word = (line[at.same] ?? "").trim().toLowerCase();
    if (given) action.names.push([a, given]);
    if (given && !word && !line[at.other]) return;
    const same = ["yes", "true", "1", "same"].includes(word);
    if (!same && !["no", "false", "0", "different"].includes(word)) {
      throw new Error(`${where}: the answer is ${word || "missing"}, neither yes nor no`);
    }
    action.pairs.push([a, find(line[at.other]), same]);
  });
  return action;
}

async function openFile(file) {
  try {
    const action = readAnswers(textOf(new Uint8Array(await file.arrayBuffer())));
    if (act(action)) {
      tell(`Opened: ${plural(action.pairs.length, "pair")}, ${plural(action.names.length, "name")}`);
    }
  } catch (error) {
    tell(`${file.name} is not taken: ${error.message}`);
  }
}

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
