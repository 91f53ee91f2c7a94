/**
 * The log of events: rows for what is in view only, however many are kept.
 * @module
 */

import { copy, element, find, write } from "./dom.js";
import { readable } from "./json.js";
import { Kept, MAX_CHARACTERS, MAX_KEPT } from "./kept.js";

/** @typedef {import("./kept.js").Entry} Entry */
/** @typedef {import("../herald.js").HeraldEvent} HeraldEvent */

/** The longest piece of data in a row. */
const PREVIEW = 300;

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});

const scroller = find("scroller", HTMLElement);
const rows = find("rows", HTMLElement);
const empty = find("empty", HTMLElement);
const pauseButton = find("pause", HTMLButtonElement);
const detail = find("detail", HTMLElement);

const kept = new Kept();
/** Those that came while the log stands still. @type {HeraldEvent[]} */
let held = [];
let heldCharacters = 0;
let isPaused = false;
/** @type {(() => void) | undefined} */
let goOn;
/** @type {Entry | undefined} */
let selected;
let isDrawn = true;

/** Waits while the log stands still and can hold no more: what is not read stays with the hub. */
export async function room() {
  while (isPaused && (held.length >= MAX_KEPT || heldCharacters > MAX_CHARACTERS)) {
    await new Promise((resolve) => (goOn = () => resolve(null)));
  }
}

/** @param {HeraldEvent} event */
export function take(event) {
  if (isPaused) {
    held.push(event);
    heldCharacters += event.data.length;
  } else kept.add(event);
  drawSoon();
}

/** @param {string} nothing What to say while there is nothing. */
export function reset(nothing) {
  write(find("nothing", HTMLElement), nothing);
  clear();
}

function clear() {
  letGo();
  kept.clear();
  select(undefined);
  scroller.scrollTop = 0;
  drawSoon();
}

/** @param {boolean} value */
function pause(value) {
  isPaused = value;
  pauseButton.ariaPressed = String(value);
  if (!value) {
    held.forEach((event) => kept.add(event));
    letGo();
  }
  drawSoon();
}

function letGo() {
  held = [];
  heldCharacters = 0;
  goOn?.();
}

// ---- Drawing, at most once a frame: a busy channel must not freeze the page

function drawSoon() {
  if (isDrawn) requestAnimationFrame(draw);
  isDrawn = false;
}

/** @type {{ element: HTMLElement, parts: HTMLElement[], entry?: Entry }[]} */
const pool = [];

function draw() {
  isDrawn = true;
  const { shown } = kept;
  const height = rowHeight();
  // Who reads on further down keeps the rows in view where they are.
  if (scroller.scrollTop > 0) scroller.scrollTop += kept.fresh * height;
  kept.fresh = 0;
  rows.style.height = `${shown.length * height}px`;
  empty.hidden = shown.length > 0;
  write(pauseButton, isPaused ? `Resume (${held.length.toLocaleString()})` : "Pause");

  const first = Math.max(Math.floor(scroller.scrollTop / height) - 2, 0);
  const last = Math.min(first + Math.ceil(scroller.clientHeight / height) + 4, shown.length);
  while (pool.length < last - first) pool.push(newRow());
  pool.forEach((row, index) => {
    const place = first + index;
    row.element.hidden = place >= last;
    if (place < last) fill(row, shown[shown.length - 1 - place], place, height);
  });
  const active = pool.find(({ entry, element }) => entry === selected && !element.hidden);
  if (selected && active) scroller.setAttribute("aria-activedescendant", active.element.id);
  else scroller.removeAttribute("aria-activedescendant");
}

const rowHeight = () => {
  if (!pool.length) pool.push(newRow());
  const [{ element }] = pool;
  element.hidden = false;
  return element.offsetHeight || 1;
};

function newRow() {
  const parts = ["time", "span", "span", "span", "code"].map((name) => document.createElement(name));
  ["", "type", "channel", "data", "id"].forEach((name, index) => (parts[index].className = name));
  const row = element("div", "row", ...parts);
  row.id = `row-${pool.length}`;
  row.role = "option";
  rows.append(row);
  return { element: row, parts };
}

/**
 * @param {typeof pool[number]} row
 * @param {Entry} entry
 * @param {number} place
 * @param {number} height
 */
function fill(row, entry, place, height) {
  const { element, parts } = row;
  element.style.transform = `translateY(${place * height}px)`;
  element.ariaSelected = String(entry === selected);
  element.ariaPosInSet = String(place + 1);
  element.ariaSetSize = String(kept.shown.length);
  if (row.entry === entry) return;
  row.entry = entry;
  const { type, lastEventId, channels, data } = entry.event;
  element.dataset.type = type;
  element.dataset.id = lastEventId;
  const summary = type === "gap" ? `events are missing here ${data}` : data.slice(0, PREVIEW).replace(/\s+/g, " ");
  [clock.format(entry.at), type, channels.join(", "), summary, lastEventId].forEach((text, index) => write(parts[index], text));
}

// ---- The selected event

/** @param {Entry | undefined} entry */
function select(entry) {
  selected = entry;
  detail.hidden = !entry;
  if (entry) {
    const { type, lastEventId, channels, data } = entry.event;
    const about = find("about", HTMLElement);
    about.dataset.type = type;
    const time = element("time", "", clock.format(entry.at));
    time.dateTime = entry.at.toISOString();
    const size = `${data.length.toLocaleString()} characters`;
    about.replaceChildren(element("span", "type", type), ...channels.map((name) => element("code", "", name)),
      element("code", "", lastEventId), time, element("span", "muted", size));
    write(find("data", HTMLElement), readable(data));
  }
  drawSoon();
}

/** @param {number} place From the newest on. */
function selectAt(place) {
  const { shown } = kept;
  if (!shown.length) return;
  const index = Math.min(Math.max(place, 0), shown.length - 1);
  select(shown[shown.length - 1 - index]);
  const height = rowHeight();
  const top = index * height;
  scroller.scrollTop = Math.min(Math.max(scroller.scrollTop, top + height - scroller.clientHeight), top);
}

scroller.addEventListener("scroll", drawSoon, { passive: true });
new ResizeObserver(drawSoon).observe(scroller);
// Before a click is complete, the row may be another event's.
scroller.addEventListener("mousedown", ({ target }) => {
  const row = target instanceof Element && target.closest(".row");
  const found = pool.find(({ element }) => element === row);
  if (found) select(found.entry === selected ? undefined : found.entry);
});
scroller.addEventListener("keydown", (event) => {
  const page = Math.max(Math.floor(scroller.clientHeight / rowHeight()) - 1, 1);
  const place = selected ? kept.shown.length - 1 - kept.shown.indexOf(selected) : -1;
  /** @type {Record<string, number>} */
  const places = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0, End: Infinity };
  if (event.key === "Escape") select(undefined);
  else if (event.key in places) selectAt(places[event.key]);
  else return;
  event.preventDefault();
});
detail.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  select(undefined);
  scroller.focus();
});
find("close", HTMLButtonElement).addEventListener("click", () => {
  select(undefined);
  scroller.focus();
});
const copyButton = find("copy-data", HTMLButtonElement);
copyButton.addEventListener("click", () => copy(copyButton, find("data", HTMLElement)));
pauseButton.addEventListener("click", () => pause(!isPaused));
find("clear", HTMLButtonElement).addEventListener("click", clear);
const filter = find("filter", HTMLInputElement);
filter.addEventListener("input", () => {
  kept.filter(filter.value.trim());
  scroller.scrollTop = 0;
  drawSoon();
});
