// The same call as code, for whoever goes on from here.

import { isObject, textOf } from "./documents.js";
import { asked } from "./form.js";
import { $, say } from "./page.js";
import { BASE, key } from "./server.js";

const ADDRESS = BASE.href.replace(/\/$/, "");
const KEY = "CROSSRANK_API_KEY";

/** A value as Python writes it. */
function python(value) {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (isObject(value)) return `{${Object.entries(value).map(([name, item]) => `${python(name)}: ${python(item)}`).join(", ")}}`;
  return { true: "True", false: "False", null: "None" }[String(value)] ?? String(value);
}

const listed = (items) => `[\n${items.map((item) => `    ${python(item)},\n`).join("")}]`;

function curl(path, body) {
  const guard = key() ? ` -H "Authorization: Bearer $${KEY}"` : "";
  return `curl -s ${ADDRESS}${path} -H 'Content-Type: application/json'${guard} -d @- <<'JSON'\n${JSON.stringify(body, null, 2)}\nJSON\n`;
}

const CODE = {
  curl: (call) => curl("/v1/rerank", { ...named(call), documents: call.documents, ...(call.fields && { rank_fields: call.fields }) }),
  jina: (call) => curl("/jina/v1/rerank", { ...named(call), documents: texts(call), return_documents: false }),
  tei: ({ query, ...call }) => curl("/tei/rerank", { query, texts: texts(call) }),
  python: (call) =>
    `${imported("from crossrank import Reranker")}documents = ${listed(call.documents)}\n` +
    `with Reranker(${python(`crossrank:${call.model}`)}, base_url=${python(ADDRESS)}, api_key=${secret()}) as reranker:\n` +
    `    ranking = reranker.rank(${python(call.query)}, documents${call.fields ? `, fields=${python(call.fields)}` : ""})\n` +
    "for hit in ranking:\n    print(hit.rank, hit.score, hit.index)\n",
  cohere: (call) =>
    `${imported("import cohere")}client = cohere.ClientV2(base_url=${python(ADDRESS)}, api_key=${secret()})\n` +
    `documents = ${listed(texts(call))}\nanswer = client.rerank(model=${python(call.model)}, query=${python(call.query)}, documents=documents)\n` +
    "for result in answer.results:\n    print(result.index, result.relevance_score)\n",
  voyage: (call) =>
    `${imported("import voyageai")}client = voyageai.Client(base_url=${python(`${ADDRESS}/v1`)}, api_key=${secret()})\n` +
    `documents = ${listed(texts(call))}\nanswer = client.rerank(${python(call.query)}, documents, model=${python(call.model)})\n` +
    "for result in answer.results:\n    print(result.index, result.relevance_score)\n",
};

const named = ({ model, query }) => ({ model, query });
const texts = ({ documents, fields }) => documents.map((item) => textOf(item, fields, "\n"));
const imported = (line) => (key() ? `import os\n\n${line}\n\n` : `${line}\n\n`);
const secret = () => (key() ? `os.environ["${KEY}"]` : '"any"');

export function showCode() {
  $("copy").textContent = "Copy";
  const call = asked(); // without a model while it is not known which there are
  if ($("code").open) $("snippet").textContent = CODE[$("language").value]({ ...call, model: call.model ?? "crossrank-mini" });
}

export async function copy() {
  try {
    await navigator.clipboard.writeText($("snippet").textContent);
    say("Copied.");
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("snippet")); // no clipboard without TLS, but on this machine
    say("Selected: copy it with Ctrl+C.");
  }
}
