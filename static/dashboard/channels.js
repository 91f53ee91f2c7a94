/**
 * The channels of the hub, as far as the token lets see them.
 * @module
 */

import { element, find, write } from "./dom.js";
import { ask, home } from "./hub.js";

/** How often they are asked for, in milliseconds. */
const PACE = 2_000;
/** So many are shown. */
const LIMIT = 100;

const rows = find("channel-rows", HTMLElement);
const note = find("channels-note", HTMLElement);
const prefix = find("prefix", HTMLInputElement);

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let asked = 0;

/**
 * Calls `choose` with the channel that somebody clicks on.
 *
 * @param {(channel: string) => void} choose
 */
export function onChoice(choose) {
  rows.addEventListener("click", ({ target }) => {
    if (target instanceof HTMLButtonElement) choose(target.textContent ?? "");
  });
}

/** Asks at once, and from then on at its pace while somebody can see it. */
export async function refresh() {
  clearTimeout(timer);
  const mine = ++asked;
  const url = new URL("channels", home);
  url.searchParams.set("limit", String(LIMIT));
  url.searchParams.set("prefix", prefix.value.trim());
  try {
    const page = await ask(url);
    if (mine === asked) show(page);
  } catch (error) {
    if (mine !== asked) return;
    rows.replaceChildren();
    write(note, error instanceof Error ? error.message : String(error));
  }
  if (mine === asked && !document.hidden) timer = setTimeout(refresh, PACE);
}

/**
 * @typedef {{ channel: string, subscribers: number, events: number | null, last_id: string | null }} Channel
 * @param {{ channels: Channel[], more: boolean }} page
 */
function show({ channels, more }) {
  while (rows.childElementCount > channels.length) rows.lastElementChild?.remove();
  channels.forEach(({ channel, subscribers, last_id: lastId }, index) => {
    const row = rows.children[index] ?? rows.appendChild(newRow());
    const [name, count, id] = row.children;
    write(name.children[0], channel);
    write(count, subscribers.toLocaleString());
    write(id.children[0], lastId ?? "");
  });
  const none = prefix.value.trim() ? "none starts like this" : "none that the token lets see, or none yet";
  write(note, more ? `the first ${LIMIT}; more with a longer beginning` : channels.length ? "" : none);
}

function newRow() {
  const button = element("button");
  button.type = "button";
  button.title = "Subscribe to it";
  return element("tr", "", element("td", "", button), element("td"), element("td", "", element("code")));
}

prefix.addEventListener("input", refresh);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
