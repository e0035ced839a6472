// After kept.js: answers.csv, saved and opened.

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
