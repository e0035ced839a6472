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
  const { kind, row, rows = [row], name } = action; // older pages kept one row
  if (kind === "name") return rows.map((each) => [each, name]);
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
  changed(tried, action);
  return true;
}

function undo() {
  const last = actions.pop();
  if (!last) return;
  tell(`Taken back: ${{ answer: "an answer", merge: "a merge", split: "a split" }[last.kind] ?? last.kind}`);
  changed(null, { undone: last });
}

function changed(made, step) {
  groups = made ?? closure(actions);
  clusters = null;
  unsaved = true;
  keep(step);
  draw();
}
