// The playground: asks the server what any client can ask, and shows it. Here: what is pressed, and what that does.

import { copy, showCode } from "./code.js";
import { explainAnew } from "./explaining.js";
import { loadSample, noteDocuments, readFile } from "./form.js";
import { $, complain, make, openKey, say } from "./page.js";
import { rank } from "./ranking.js";
import { Failure, ask } from "./server.js";

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

/** The same document in another column is marked too. */
function pair(event) {
  const index = event.target.closest?.("#columns li[data-index]")?.dataset.index;
  for (const item of document.querySelectorAll("#columns li[data-index]")) item.classList.toggle("partner", item.dataset.index === index);
}

$("form").addEventListener("submit", rank);
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) rank(event);
});
$("form").addEventListener("input", () => {
  noteDocuments();
  showCode();
});
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
