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
