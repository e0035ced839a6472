// After questions.js: clusters, and the one that is looked at.

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
    const named = rows.filter((row) => names.has(row));
    const all = new Set(named.map((row) => names.get(row)));
    list.push({ id, rows, named, name: [...all].join(" and ") });
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
  if ($("look").open) return;
  $("told-here").textContent = "";
  $("look").showModal();
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

// Clusters of other answers have other numbers: what is ticked and open is found again.
function renumber(before) {
  clusters = makeClusters();
  const now = (id) => clusters.label[before.members[id]?.[0]];
  ticked = new Set([...ticked].map(now));
  if (!$("look").open) return;
  const edited = $("name").value !== before.list.find(({ id }) => id === opened).name;
  const typed = $("name").value;
  opened = now(opened);
  const { rows } = clusterOf(opened);
  chosen = new Set([...chosen].filter((row) => rows.includes(row)));
  drawLook();
  if (edited) $("name").value = typed;
}

// One name for all of the cluster that have one: what was one individual stays one.
function giveName(name) {
  const cluster = clusterOf(opened);
  if (name === cluster.name) return;
  const before = allNames(actions);
  const rows = cluster.named.length ? cluster.named : [typical(cluster)];
  if (!act({ kind: "name", rows, name })) {
    $("name").value = clusterOf(opened).name;
    return;
  }
  const after = new Set(allNames(actions).values());
  const old = new Set(rows.map((row) => before.get(row)));
  const left = [...old].filter((each) => each !== name && after.has(each)).join(" and ");
  const said = name ? `Named ${name}` : "The name is taken away";
  tell(said + (left && `; another cluster is still named ${left}`));
  drawLook();
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
