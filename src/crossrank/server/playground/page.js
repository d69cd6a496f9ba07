// The page's own parts: elements, numbers in words, what is under way, and what went wrong.
// NOTE: documents are anybody's. Texts reach the page as text nodes only (`make`); the page's policy forbids the rest.

export const $ = (id) => document.getElementById(id);
export const number = (value, digits) =>
  value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits }).replace("-", "−");
export const count = (value, noun) => `${number(value, 0)} ${noun}${value === 1 ? "" : "s"}`;
export const ms = (value) => `${number(value, value < 10 ? 1 : 0)} ms`;
export const signed = (value) => (value < 0 ? "" : "+") + number(value, 2);
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** A new element; children are elements or texts. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function openKey(open) {
  $("key").hidden = !open;
  $("key-open").setAttribute("aria-expanded", String(open));
  if (open) $("key-value").focus();
}

/** One piece of work at a time: a new one ends the one before. Failures are shown; `null` is then the result. */
let running = null;
export async function working(what, work) {
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

export const say = (text) => ($("status").textContent = text);

export function complain(error) {
  $("error").hidden = !error;
  $("error").textContent = error ? error.message : "";
  if (!error) return;
  say("");
  if (error.status === 401) openKey(true);
}
