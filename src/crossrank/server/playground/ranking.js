// Ranking: the documents as given, and in the order of one model or two.

import { showCode } from "./code.js";
import { textOf } from "./documents.js";
import { toggle } from "./explaining.js";
import { asked, missing } from "./form.js";
import { $, complain, count, make, ms, number, say, still, working } from "./page.js";
import { Failure, ask } from "./server.js";

const STAGES = ["queue", "tokenize", "run"];

export async function rank(event) {
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
