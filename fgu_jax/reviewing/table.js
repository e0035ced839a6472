// After kept.js: answers.csv, saved and opened.

const COLUMNS = ["image", "other", "same"];
const DELIMITERS = ",;\t|";
const OTHER_BYTES = /[\udc80-\udcff]/u;

// Bytes of names that are not UTF-8 stand as lone surrogates, and go out as they were.
function bytesOf(text) {
  const encoder = new TextEncoder();
  const parts = text.split(/([\udc80-\udcff])/u).map((part) => {
    const code = part.length === 1 ? part.charCodeAt(0) : 0;
    return code >= 0xdc80 && code <= 0xdcff ? Uint8Array.of(code - 0xdc00) : encoder.encode(part);
  });
  return parts;
}

// A cell that is not UTF-8, as Windows' cp1252.
function readable(cell) {
  if (!OTHER_BYTES.test(cell)) return cell;
  const bytes = bytesOf(cell).flatMap((part) => [...part]);
  return new TextDecoder("windows-1252").decode(Uint8Array.from(bytes));
}

function textOf(bytes) {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || second === 0) {
    return new TextDecoder("utf-16le").decode(bytes);
  }
  if ((first === 0xfe && second === 0xff) || first === 0) {
    return new TextDecoder("utf-16be").decode(bytes);
  }
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

// Rows that are not empty, as cells, and the line that each begins in.
function rowsOf(text, delimiter) {
  const rows = [];
  let [cells, cell, inside] = [[], "", false];
  let [line, begun] = [1, 1];
  const end = () => {
    cells.push(cell);
    if (cells.some((each) => each.trim())) rows.push({ line: begun, cells });
    [cells, cell, begun] = [[], "", line];
  };
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    const ends = letter === "\n" || (letter === "\r" && text[at + 1] !== "\n");
    if (ends) line += 1;
    if (inside) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') cell += text[++at];
      else inside = false;
    } else if (letter === '"' && !cell.trim()) [cell, inside] = ["", true];
    else if (letter === delimiter) {
      cells.push(cell);
      cell = "";
    } else if (ends) end();
    else if (letter !== "\r") cell += letter;
  }
  if (inside) throw new Error(`line ${begun}: a quote is left open: close it`);
  end();
  return rows;
}

// What makes our columns of a first line, or else the most columns.
function delimiterOf(first) {
  const columns = (delimiter) => {
    const head = first.toLowerCase().split(delimiter);
    const names = head.map((cell) => cell.trim().replace(/^"|"$/g, ""));
    return names.length + (COLUMNS.every((name) => names.includes(name)) ? 1e6 : 0);
  };
  return [...DELIMITERS].reduce((best, other) => (columns(other) > columns(best) ? other : best));
}

function tableOf(text) {
  const [first] = /[^\r\n]*\S[^\r\n]*/.exec(text) ?? [""];
  const said = /^"?sep=(.)"?\s*$/i.exec(first); // as Excel writes it
  if (said) return rowsOf(text, said[1]).slice(1);
  return rowsOf(text, delimiterOf(first));
}

// Where our columns stand; in any case, where none is spelt as it should be.
function placesOf(head) {
  const names = head.map((cell) => cell.trim());
  const small = names.map((name) => name.toLowerCase());
  const at = {};
  for (const name of [...COLUMNS, "name"]) {
    const among = names.includes(name) ? names : small;
    at[name] = among.indexOf(name);
    if (at[name] !== among.lastIndexOf(name)) {
      throw new Error(`it has two columns ${name}: leave one out`);
    }
  }
  if (COLUMNS.some((name) => at[name] < 0)) {
    throw new Error("its first line is not image,other,same");
  }
  return at;
}

function readAnswers(text) {
  const [head, ...rows] = tableOf(text);
  const at = placesOf(head?.cells ?? []);
  const rowOf = new Map(data.images.map((image, row) => [image[0], row]));
  const action = { kind: "opened", pairs: [], names: [] };
  for (const { line, cells } of rows) {
    const where = `line ${line}`;
    const find = (name) => {
      const known = [name, name.trim(), readable(name)].find((each) => rowOf.has(each));
      if (known === undefined) throw new Error(`${where}: no image ${name}`);
      return rowOf.get(known);
    };
    if (cells.slice(head.cells.length).some((cell) => cell.trim())) {
      throw new Error(
        `${where}: it has ${cells.length} cells and the first line ${head.cells.length}: ` +
          "put quotes around what holds the delimiter",
      );
    }
    const a = find(cells[at.image] ?? "");
    const given = readable(cells[at.name] ?? "").trim();
    if (/[\r\n]/.test(given)) {
      throw new Error(`${where}: its name has two lines: is a quote left open? Close it`);
    }
    const other = cells[at.other] ?? "";
    const word = (cells[at.same] ?? "").trim().toLowerCase();
    if (given) action.names.push([a, given]);
    if (given && !word && !other.trim()) continue;
    const same = ["yes", "true", "1", "same"].includes(word);
    if (!same && !["no", "false", "0", "different"].includes(word)) {
      throw new Error(`${where}: the answer is ${word || "missing"}, neither yes nor no`);
    }
    action.pairs.push([a, find(other), same]);
  }
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
