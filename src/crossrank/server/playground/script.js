// The playground: asks the server what any client can ask, and shows it.
// NOTE: documents are anybody's. Texts reach the page as text nodes only (`make`); the page's policy forbids the rest.

const BASE = new URL("..", import.meta.url); // where the server is, behind whatever prefix
const FILE_MAX = 32e6; // bytes
const STRONGEST = 5;
const SLIGHT = 0.1; // of the strongest share: what takes away less is not underlined
const STAGES = ["queue", "tokenize", "run"];
const SAMPLE = { query: "when did alcohol become illegal", fields: "title, text" };

const $ = (id) => document.getElementById(id);
const number = (value, digits) =>
  value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits }).replace("-", "−");
const count = (value, noun) => `${number(value, 0)} ${noun}${value === 1 ? "" : "s"}`;
const ms = (value) => `${number(value, value < 10 ? 1 : 0)} ms`;
const signed = (value) => (value < 0 ? "" : "+") + number(value, 2);
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** A new element; children are elements or texts. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// ---- asking the server -------------------------------------------------------------------------------------------

/** What is wrong, in words for people. */
class Failure extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

async function ask(path, body, signal) {
  const headers = { "content-type": "application/json" };
  if (key()) headers.authorization = `Bearer ${key()}`;
  const request = { headers, signal, cache: "no-store", ...(body && { method: "POST", body: JSON.stringify(body) }) };
  const started = performance.now();
  let response, said;
  try {
    response = await fetch(new URL(path, BASE), request);
    said = await response.json().catch(() => null);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server cannot be reached. Is it still running?");
  }
  if (!response.ok) throw failure(response, said);
  return { said, stages: stagesOf(response.headers.get("server-timing")), roundTrip: performance.now() - started };
}

function failure(response, said) {
  if (response.status === 401) return new Failure(key() ? "The server does not know this key." : "This server wants an API key.", 401);
  const why = said?.error?.message ?? said?.message ?? `It answered ${response.status} ${response.statusText}`;
  const again = response.headers.get("retry-after");
  const identity = response.headers.get("x-request-id");
  const parts = [/[.?!]$/.test(why) ? why : `${why}.`, again && `Try again in ${again} s.`, identity && `(Request ${identity})`];
  return new Failure(parts.filter(Boolean).join(" "), response.status);
}

/** Milliseconds by stage, as the Server-Timing header has them. */
function stagesOf(header) {
  const found = [...(header ?? "").matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, value]) => [name, Number(value)]);
  return Object.fromEntries(found);
}

/** One piece of work at a time: a new one ends the one before. Failures are shown; `null` is then the result. */
let running = null;
async function working(what, work) {
  running?.abort();
  const mine = (running = new AbortController());
  say(what);
  complain(null);
  $("form").setAttribute("aria-busy", "true");
  try {
    return await work(mine.signal);
  } catch (error) {
    if (running === mine && error.name !== "AbortError") complain(error);
    return null;
  } finally {
    if (running === mine) $("form").removeAttribute("aria-busy");
  }
}

const say = (text) => ($("status").textContent = text);

function complain(error) {
  $("error").hidden = !error;
  $("error").textContent = error ? error.message : "";
  if (!error) return;
  say("");
  if (error.status === 401) openKey(true);
}

// ---- key, theme, models ------------------------------------------------------------------------------------------

const key = () => sessionStorage.getItem("crossrank-key") ?? "";

function openKey(open) {
  $("key").hidden = !open;
  $("key-open").setAttribute("aria-expanded", String(open));
  if (open) $("key-value").focus();
}

async function useKey(event) {
  event.preventDefault();
  const value = $("key-value").value.trim();
  if (!/^[\x21-\x7e]+$/.test(value)) return complain(new Failure("A key has no spaces and only plain characters."));
  sessionStorage.setItem("crossrank-key", value);
  complain(null);
  openKey(false);
  await loadModels(); // opens it again if the server does not know the key
}

function forgetKey() {
  sessionStorage.removeItem("crossrank-key");
  $("key-value").value = "";
  say("The key is forgotten.");
}

async function loadModels() {
  let names;
  try {
    names = (await ask("v1/models")).said.data.map((model) => model.id);
  } catch (error) {
    return complain(error);
  }
  const option = (name) => make("option", { value: name }, name);
  $("model").replaceChildren(...names.map(option));
  $("other").replaceChildren(make("option", { value: "" }, names.length > 1 ? "no other" : "one model is served"));
  $("other").append(...(names.length > 1 ? names.map(option) : []));
  $("other").disabled = names.length < 2;
  showCode();
}

const THEMES = ["auto", "light", "dark"];
function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Theme: ${theme}`;
  localStorage.setItem("crossrank-theme", theme);
}
const theme = () => (THEMES.includes(localStorage.getItem("crossrank-theme")) ? localStorage.getItem("crossrank-theme") : "auto");

// ---- documents ---------------------------------------------------------------------------------------------------

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

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

const documentsOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean).map(documentOf);
const flat = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** What is shown of a document, and sent to who takes texts only. */
function textOf(item, fields, separator = " · ") {
  if (!isObject(item)) return item;
  const names = fields?.length ? fields : Object.keys(item);
  return names.filter((name) => name in item).map((name) => flat(item[name])).join(separator);
}

/** The line that a document of a file becomes. */
function lineOf(item) {
  return isObject(item) ? JSON.stringify(item) : flat(item).replace(/\s*\n\s*/g, " ");
}

function linesOf(name, text) {
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

async function readFile(file) {
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
  noteDocuments();
}

function noteDocuments() {
  const documents = documentsOf($("documents").value);
  const objects = documents.filter(isObject).length;
  $("count").textContent = documents.length ? `${count(documents.length, "document")}${objects ? `, ${objects} with fields` : ""}.` : "No documents yet.";
  $("fields-part").hidden = !objects;
  showCode();
}

async function loadSample() {
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

// ---- ranking -----------------------------------------------------------------------------------------------------

/** What the form asks. */
function asked() {
  const documents = documentsOf($("documents").value);
  const fields = $("fields").value.split(",").map((name) => name.trim()).filter(Boolean);
  const given = documents.some(isObject) && fields.length ? { fields } : {};
  return { query: $("query").value.trim(), documents, model: $("model").value || undefined, ...given };
}

function missing(call) {
  if (!call.query) return ["query", "Write a query first."];
  return call.documents.length ? null : ["documents", "Give some documents first: paste them, open a file, or load the sample."];
}

async function rank(event) {
  event?.preventDefault();
  const call = asked();
  const lack = missing(call);
  if (lack) {
    complain(new Failure(lack[1]));
    return $(lack[0]).focus();
  }
  const models = [...new Set([call.model, $("other").value].filter((name) => name))];
  const answers = await working("Ranking …", async (signal) => {
    const found = []; // one after the other, so that neither's time is the other's
    for (const model of models.length ? models : [undefined]) {
      found.push(await ask("crossrank/v1/rank", { ...call, model }, signal));
    }
    return found;
  });
  if (!answers) return;
  show(call, answers);
}

function show(call, answers) {
  const lists = answers.map((answer) => rankedColumn(call, answer));
  $("results").hidden = false;
  $("columns").replaceChildren(givenColumn(call), ...lists.map((list) => list.column));
  for (const list of lists) settle(list);
  $("agreement").hidden = answers.length < 2;
  if (answers.length > 1) $("agreement").textContent = agreement(...answers.map((answer) => answer.said.hits));
  const [{ said, stages, roundTrip }] = answers;
  const best = textOf(call.documents[said.hits[0].index], call.fields).slice(0, 80);
  say(`${count(call.documents.length, "document")} ranked in ${ms(stages.total ?? roundTrip)}. First: ${best}`);
  showCode();
}

function givenColumn(call) {
  const items = call.documents.map((item, index) =>
    make("li", { "data-index": index }, make("span", { class: "place" }, String(index + 1)), make("span", { class: "text" }, textOf(item, call.fields))));
  return make("section", { class: "column given", "aria-labelledby": "given" }, make("h3", { id: "given" }, "As given"), make("ol", {}, ...items));
}

function rankedColumn(call, { said, stages, roundTrip }) {
  const name = `by-${$("columns").dataset.made = Number($("columns").dataset.made ?? 0) + 1}`;
  const scores = said.hits.map((hit) => hit.score).filter((score) => score !== null);
  const unit = scores.every((score) => score >= 0 && score <= 1);
  const [low, high] = unit ? [0, 1] : [Math.min(...scores), Math.max(...scores)];
  const items = said.hits.map((hit, place) => hitItem(call, said.model, hit, place, (hit.score - low) / (high - low || 1), name));
  const list = make("ol", {}, ...[...items].sort((a, b) => a.dataset.index - b.dataset.index));
  const title = make("h3", { id: name }, `Reranked by ${said.model}`);
  return { column: make("section", { class: "column", "aria-labelledby": name }, title, timings(said, stages, roundTrip), list), list, items };
}

function timings(said, stages, roundTrip) {
  const rest = Math.max(0, (stages.total ?? 0) - STAGES.reduce((sum, stage) => sum + (stages[stage] ?? 0), 0));
  const parts = [...STAGES.filter((stage) => stage in stages).map((stage) => [stage, stages[stage]]), ...(stages.total ? [["rest", rest]] : [])];
  const bar = make("div", { class: "stages", "aria-hidden": "true" });
  for (const [stage, value] of parts) {
    const part = make("span", { class: stage });
    part.style.width = `${(100 * value) / stages.total}%`;
    bar.append(part);
  }
  const facts = make("dl");
  const add = (term, value, mark) => facts.append(make("div", {}, make("dt", {}, ...(mark ? [make("i", { class: mark, "aria-hidden": "true" })] : []), term), make("dd", {}, value)));
  if (said.usage?.tokens != null) add("tokens", number(said.usage.tokens, 0));
  for (const [stage, value] of parts) add(stage, ms(value), stage);
  if (stages.total) add("total", ms(stages.total));
  add("round trip", ms(roundTrip));
  return make("div", {}, ...(stages.total ? [bar] : []), facts);
}

function hitItem(call, model, hit, place, share, column) {
  const moved = hit.index - place;
  const panel = make("div", { class: "explanation", id: `${column}-${hit.index}`, hidden: "" });
  const bar = make("span");
  bar.style.width = `${hit.score === null ? 0 : 100 * share}%`;
  const facts = [
    make("span", { class: "sr" }, "score "), make("span", {}, hit.score === null ? "–" : number(hit.score, 4)),
    make("span", { class: "bar", "aria-hidden": "true" }, bar), movement(moved),
    ...(hit.tokens == null ? [] : [make("span", {}, count(hit.tokens, "token"))]), ...(hit.truncated ? [make("span", {}, "cut")] : []),
  ];
  const button = make("button", { type: "button", class: "hit", "aria-expanded": "false", "aria-controls": panel.id },
    make("span", { class: "place" }, String(place + 1)),
    make("span", { class: "text" }, textOf(call.documents[hit.index], call.fields)),
    make("span", { class: "facts" }, ...facts));
  const item = make("li", { "data-index": hit.index }, button, panel);
  button.addEventListener("click", () => toggle(button, panel, call, model, hit.index));
  return item;
}

function movement(moved) {
  if (!moved) return make("span", {}, "unmoved");
  const [arrow, way] = moved > 0 ? ["▲", "up"] : ["▼", "down"];
  return make("span", { class: way }, make("span", { "aria-hidden": "true" }, arrow), make("span", { class: "sr" }, `${way} `), String(Math.abs(moved)));
}

/** The rows go from where they were given to where they belong. */
function settle({ list, items }) {
  const before = new Map(items.map((item) => [item, item.getBoundingClientRect().top]));
  list.replaceChildren(...items);
  if (still()) return;
  for (const item of items) {
    const way = before.get(item) - item.getBoundingClientRect().top;
    if (way) item.animate([{ transform: `translateY(${way}px)` }, { transform: "none" }], { duration: 600, easing: "cubic-bezier(.2, .8, .2, 1)" });
  }
}

/** How far two rankings agree: Kendall's tau over all pairs of documents. */
function agreement(one, other) {
  const places = new Map(other.map((hit, place) => [hit.index, place]));
  const order = one.map((hit) => places.get(hit.index));
  let agreed = 0, pairs = 0;
  for (let i = 0; i < order.length; i++) for (let j = i + 1; j < order.length; j++, pairs++) agreed += Math.sign(order[j] - order[i]);
  const first = one[0].index === other[0].index ? "the same document first" : "another document first";
  return pairs ? `The two agree to a Kendall's tau of ${number(agreed / pairs, 2)}, with ${first}.` : "";
}

// ---- explaining --------------------------------------------------------------------------------------------------

async function toggle(button, panel, call, model, index) {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  panel.hidden = !open;
  if (!open) return;
  const unit = document.querySelector("input[name=unit]:checked").value;
  if (panel.dataset.unit === unit) return;
  panel.dataset.unit = unit;
  panel.replaceChildren(make("p", {}, "Explaining …"));
  try {
    const { fields, query, documents } = call;
    const { said } = await ask("crossrank/v1/explain", { query, document: documents[index], model, unit, fields });
    if (panel.dataset.unit !== unit) return;
    panel.replaceChildren(...explanation(said));
    say(`Explained. The strongest: ${[...panel.querySelectorAll(".strongest li")].map((item) => item.textContent).join("; ")}`);
  } catch (error) {
    delete panel.dataset.unit;
    panel.replaceChildren(make("p", {}, textOf(call.documents[index], call.fields)), make("p", { class: "hint" }, error.message));
    complain(error);
  }
}

function explanation(said) {
  const characters = Array.from(said.text); // positions count characters, not UTF-16 units
  const most = Math.max(...said.spans.map((span) => Math.abs(span.share)), 1e-9);
  const text = make("p");
  let end = 0;
  for (const span of said.spans) {
    const strength = Math.abs(span.share) / most;
    const way = `${span.share < 0 ? "takes" : "adds"}${strength < SLIGHT ? " slight" : ""}`;
    const mark = make("mark", { class: way, title: signed(span.share) }, span.text);
    mark.style.setProperty("--strength", strength.toFixed(3));
    text.append(characters.slice(end, span.start).join(""), mark);
    end = span.end;
  }
  text.append(characters.slice(end).join(""));
  const strongest = [...said.spans].sort((a, b) => Math.abs(b.share) - Math.abs(a.share)).slice(0, STRONGEST);
  const parts = strongest.map((span) => make("li", {}, `${span.text.slice(0, 60)} ${signed(span.share)}`));
  const sum = said.whole - said.empty;
  return [
    text,
    make("p", { class: "hint" }, "Blue adds to the score, underlined red takes away. The strongest:"),
    make("ul", { class: "strongest" }, ...parts),
    make("p", { class: "hint" }, `An empty document has a ${said.scale} of ${number(said.empty, 2)}; the shares add ${signed(sum)} to ${number(said.whole, 2)}.`),
  ];
}

/** Panels that are open follow the choice of words or sentences. */
function explainAnew() {
  for (const button of document.querySelectorAll('.hit[aria-expanded="true"]')) {
    button.click();
    button.click();
  }
}

function pair(event) {
  const index = event.target.closest?.("#columns li[data-index]")?.dataset.index;
  for (const item of document.querySelectorAll("#columns li[data-index]")) item.classList.toggle("partner", item.dataset.index === index);
}

// ---- code --------------------------------------------------------------------------------------------------------

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

function showCode() {
  $("copy").textContent = "Copy";
  if ($("code").open) $("snippet").textContent = CODE[$("language").value]({ model: "crossrank-mini", ...asked() });
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("snippet").textContent);
    say("Copied.");
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("snippet")); // no clipboard without TLS, but on this machine
    say("Selected: copy it with Ctrl+C.");
  }
}

// ---- what is pressed ---------------------------------------------------------------------------------------------

$("form").addEventListener("submit", rank);
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) rank(event);
});
$("form").addEventListener("input", () => noteDocuments());
$("sample").addEventListener("click", loadSample);
$("file-open").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", async () => {
  await readFile($("file").files[0]);
  $("file").value = ""; // the same file can be opened again
});
for (const name of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") readFile(event.dataTransfer.files[0]);
  });
}
$("key").addEventListener("submit", useKey);
$("key-open").addEventListener("click", () => openKey($("key").hidden));
$("key-forget").addEventListener("click", forgetKey);
$("theme").addEventListener("click", () => showTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]));
for (const name of ["pointerover", "focusin"]) $("columns").addEventListener(name, pair);
$("columns").addEventListener("keydown", (event) => {
  const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!way || !event.target.matches(".hit")) return;
  const hits = [...event.target.closest("ol").querySelectorAll(".hit")];
  hits[hits.indexOf(event.target) + way]?.focus();
  event.preventDefault();
});
for (const unit of document.querySelectorAll("input[name=unit]")) unit.addEventListener("change", explainAnew);
$("code").addEventListener("toggle", showCode);
for (const name of ["language", "model"]) $(name).addEventListener("change", showCode);
$("copy").addEventListener("click", copy);

showTheme(theme());
noteDocuments();
loadModels();
