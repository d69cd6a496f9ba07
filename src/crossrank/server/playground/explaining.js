// What each part of a document adds to its score, below the hit that it is of.

import { textOf } from "./documents.js";
import { complain, make, number, say, signed } from "./page.js";
import { ask } from "./server.js";

const STRONGEST = 5;
const SLIGHT = 0.1; // of the strongest share: what takes away less is not underlined

export async function toggle(button, panel, call, model, index) {
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
export function explainAnew() {
  for (const button of document.querySelectorAll('.hit[aria-expanded="true"]')) {
    button.click();
    button.click();
  }
}
