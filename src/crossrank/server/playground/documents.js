// Documents: what a line, or a file, holds. It knows texts and values; not the page.

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** A line as a document: an object if it is one in JSON, else the text. */
function documentOf(line) {
  if (!line.startsWith("{")) return line;
  try {
    const found = JSON.parse(line);
    return isObject(found) ? found : line;
  } catch {
    return line;
  }
}

export const documentsOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean).map(documentOf);
const flat = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** What is shown of a document, and sent to who takes texts only. */
export function textOf(item, fields, separator = " · ") {
  if (!isObject(item)) return item;
  const names = fields?.length ? fields : Object.keys(item);
  return names.filter((name) => name in item).map((name) => flat(item[name])).join(separator);
}

/** The line that a document of a file becomes. */
function lineOf(item) {
  return isObject(item) ? JSON.stringify(item) : flat(item).replace(/\s*\n\s*/g, " ");
}

export function linesOf(name, text) {
  if (name.endsWith(".csv")) return tableOf(text).map(lineOf);
  if (name.endsWith(".json")) {
    const found = JSON.parse(text);
    return (Array.isArray(found) ? found : [found]).map(lineOf);
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  return /\.(jsonl|ndjson)$/.test(name) ? lines.map((line) => lineOf(JSON.parse(line))) : lines;
}

/** The rows of a CSV file with a header: objects, or texts if there is one column. */
function tableOf(text) {
  const rows = [[""]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1)[rows.at(-1).length - 1] = quoted === undefined ? plain : quoted.replaceAll('""', '"');
    if (end === ",") rows.at(-1).push("");
    else if (end) rows.push([""]);
    else break;
  }
  const [names, ...values] = rows.filter((row) => row.some(Boolean));
  if (!names) return [];
  return values.map((row) => (names.length === 1 ? row[0] : Object.fromEntries(names.map((name, i) => [name, row[i] ?? ""]))));
}
