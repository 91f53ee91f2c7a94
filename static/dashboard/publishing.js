/**
 * The form that publishes, and the same as a command.
 * @module
 */

import { copy, element, find, write } from "./dom.js";
import { ask, currentToken, events } from "./hub.js";
import { problemOf, startsLikeJson } from "./json.js";

const form = find("publishing", HTMLFormElement);
const channel = find("publish-channel", HTMLInputElement);
const type = find("publish-type", HTMLInputElement);
const id = find("publish-id", HTMLInputElement);
const data = find("publish-data", HTMLTextAreaElement);
const isPrivate = find("publish-private", HTMLInputElement);
const published = find("published", HTMLOutputElement);
const dataProblem = find("data-problem", HTMLElement);
const curl = find("curl", HTMLElement);

/** Until somebody says what the data is, it is what it looks like. */
let isGuess = true;

const kind = /** @type {RadioNodeList} */ (form.elements.namedItem("kind"));

function publication() {
  const path = channel.value.trim().split("/").map(encodeURIComponent).join("/");
  const words = new URLSearchParams();
  if (type.value.trim()) words.set("event", type.value.trim());
  if (id.value.trim()) words.set("id", id.value.trim());
  if (isPrivate.checked) words.set("private", "1");
  const query = words.size ? `?${words}` : "";
  return { url: new URL(`${events}/${path}${query}`), body: data.value, isJson: kind.value === "json" };
}

async function publish() {
  const { url, body, isJson } = publication();
  const headers = { "Content-Type": isJson ? "application/json" : "text/plain; charset=utf-8" };
  try {
    const { id } = await ask(url, { method: "POST", body, headers });
    published.replaceChildren("published as ", element("code", "", id));
    published.className = "";
  } catch (error) {
    published.replaceChildren(error instanceof Error ? error.message : String(error));
    published.className = "failed";
  }
}

/** Shows the publication as a command, and what is wrong with it. */
export function describe() {
  if (isGuess) kind.value = startsLikeJson(data.value) && !problemOf(data.value) ? "json" : "text";
  const { url, body, isJson } = publication();
  const wrong = isJson ? problemOf(body) : "";
  const hint = isGuess && startsLikeJson(body) ? problemOf(body) : "";
  dataProblem.className = wrong ? "failed" : "muted";
  write(dataProblem, wrong || (hint && `as text, for it is no JSON: ${hint}`));
  data.setCustomValidity(wrong && `not JSON: ${wrong}`);
  // The browser would take such a path for another one, and not ask the hub.
  const hasDots = channel.value.split("/").some((segment) => /^\s*\.\.?\s*$/.test(segment));
  channel.setCustomValidity(hasDots ? "channel must not have '.' or '..' as a segment" : "");

  const words = ["curl", quote(String(url))];
  if (isJson) words.push("-H", quote("Content-Type: application/json"));
  // Not the token itself, which is for nobody's eyes; herald's own commands read the same variable.
  if (currentToken()) words.push("-H", '"Authorization: Bearer $HERALD_TOKEN"');
  // curl reads `-d @name` from a file, and takes line ends out of one.
  words.push("--data-raw", quote(body));
  write(curl, words.join(" "));
}

/** @param {string} name */
export function suggest(name) {
  // Only as long as nobody typed there: that is what a default value is.
  channel.defaultValue = name;
  describe();
}

/** @param {string} word */
export function quote(word) {
  return /^[\w@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  publish();
});
form.addEventListener("input", describe);
form.addEventListener("click", ({ target }) => {
  if (!(target instanceof HTMLInputElement) || target.name !== "kind") return;
  isGuess = false;
  describe();
});
data.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
});
const copyButton = find("copy", HTMLButtonElement);
copyButton.addEventListener("click", () => copy(copyButton, curl));
