// The form: what is asked, filled by hand, from a file, or with the sample.

import { documentsOf, isObject, linesOf } from "./documents.js";
import { $, complain, count, say, working } from "./page.js";
import { BASE, Failure } from "./server.js";

const FILE_MAX = 32e6; // bytes
const SAMPLE = { query: "when did alcohol become illegal", fields: "title, text" };

export async function readFile(file) {
  if (!file) return;
  complain(null);
  try {
    if (file.size > FILE_MAX) throw new Failure(`${file.name} has more than ${FILE_MAX / 1e6} MB.`);
    fill(linesOf(file.name.toLowerCase(), (await file.text()).replace(/^\ufeff/, "")));
    say(`${file.name}: ${$("count").textContent}`);
  } catch (error) {
    complain(error instanceof Failure ? error : new Failure(`${file.name} cannot be read: ${error.message}`));
  }
}

function fill(lines) {
  $("documents").value = lines.join("\n");
  $("documents").dispatchEvent(new Event("input", { bubbles: true })); // as if they had been typed
}

export function noteDocuments() {
  const documents = documentsOf($("documents").value);
  const objects = documents.filter(isObject).length;
  $("count").textContent = documents.length ? `${count(documents.length, "document")}${objects ? `, ${objects} with fields` : ""}.` : "No documents yet.";
  $("fields-part").hidden = !objects;
}

export async function loadSample() {
  const text = await working("Loading …", async (signal) => {
    const response = await fetch(new URL("playground/amendments.jsonl", BASE), { signal });
    if (!response.ok) throw new Failure("The sample cannot be loaded.");
    return response.text();
  });
  if (text === null) return;
  $("query").value = SAMPLE.query;
  $("fields").value = SAMPLE.fields;
  fill(text.trim().split("\n"));
  say("The amendments to the Constitution of the United States. Press Rank.");
  $("rank").focus();
}

/** What the form asks. */
export function asked() {
  const documents = documentsOf($("documents").value);
  const fields = $("fields").value.split(",").map((name) => name.trim()).filter(Boolean);
  const given = documents.some(isObject) && fields.length ? { fields } : {};
  return { query: $("query").value.trim(), documents, model: $("model").value || undefined, ...given };
}

export function missing(call) {
  if (!call.query) return ["query", "Write a query first."];
  return call.documents.length ? null : ["documents", "Give some documents first: paste them, open a file, or load the sample."];
}
