/**
 * What is seen and heard of a bell. It knows nothing of where notifications come from.
 * @module
 */

import { ago, wordsOf } from "./notification.js";

/**
 * @typedef {object} Summary
 * @property {string} label
 * @property {number} unread
 * @property {number} older Unread ones that are not listed.
 * @property {boolean} hasGap
 * @property {string} problem
 */

/** The parts of a bell. */
export class BellView {
  root = document.createDocumentFragment();
  #live = element("div", { class: "unseen", role: "status", "aria-live": "polite" });
  button = element("button", {
    class: "bell", part: "bell", type: "button",
    "aria-haspopup": "dialog", "aria-expanded": "false", "aria-controls": "panel", "aria-describedby": "note",
  });
  #badge = element("span", { class: "badge", part: "badge", "aria-hidden": "true", hidden: "" });
  panel = element("div", {
    class: "panel", part: "panel", id: "panel", role: "dialog", tabindex: "-1",
    "aria-labelledby": "heading", hidden: "",
  });
  #heading = element("h2", { part: "heading", id: "heading" });
  all = element("button", { class: "all", part: "all", type: "button", hidden: "" }, "Mark all as read");
  #note = element("p", { class: "note", part: "note", id: "note", hidden: "" });
  list = element("ul", { class: "list", part: "list", role: "list", "aria-labelledby": "heading", hidden: "" });
  #empty = element("p", { class: "empty", part: "empty" }, "Nothing new. Notifications appear here as they come.");
  #more = element("p", { class: "more", part: "more", hidden: "" });

  constructor() {
    this.button.append(icon(), this.#badge);
    const head = element("div", { class: "head", part: "head" });
    head.append(this.#heading, this.all);
    this.panel.append(head, this.#note, this.list, this.#empty, this.#more);
    this.root.append(this.button, this.#live, this.panel);
  }

  /** @param {Summary} summary */
  show({ label, unread, older, hasGap, problem }) {
    this.button.setAttribute("aria-label", unread ? `${label}, ${unread} unread` : label);
    this.button.classList.toggle("away", Boolean(problem));
    this.#heading.textContent = label;
    this.#badge.textContent = unread > 99 ? "99+" : String(unread);
    this.#badge.hidden = !unread;
    this.all.hidden = !unread && !hasGap;
    this.#note.textContent = problem;
    this.#note.hidden = !problem;
    this.#empty.hidden = !(this.list.hidden = !this.list.childElementCount);
    const more = [older && `${older} older unread`, hasGap && "some are missing"].filter(Boolean).join(", ");
    this.#more.textContent = more && `Not shown: ${more}`;
    this.#more.hidden = !more;
    // Tab finds one of the list, the arrows find the others.
    if (!this.list.querySelector("[tabindex='0']")) this.#links().at(0)?.setAttribute("tabindex", "0");
  }

  /** @param {string} words For who does not see; who does sees the bell ring. */
  say(words) {
    this.#live.textContent = words;
    for (const { classList } of [this.button, this.#badge]) {
      classList.remove("new");
      this.button.getBoundingClientRect();
      classList.toggle("new", Boolean(words));
    }
  }

  // ---- Items

  /**
   * Puts one in front.
   *
   * @param {ReturnType<typeof wordsOf>} words
   */
  add({ title, body, url, time }) {
    const link = element(url ? "a" : "button", { class: "item", part: "item", tabindex: "-1" });
    if (link instanceof HTMLAnchorElement) link.href = url;
    else link.setAttribute("type", "button");
    link.append(element("span", { class: "title", part: "title" }, title));
    if (time) {
      const date = new Date(time);
      const [datetime, full] = [date.toISOString(), date.toLocaleString()];
      link.append(element("time", { part: "time", datetime, title: full }, ago(time)));
    }
    if (body) link.append(element("span", { class: "body", part: "body" }, body));
    link.append(element("span", { class: "unseen" }));
    const item = element("li", {});
    item.append(link);
    this.list.prepend(item);
    return item;
  }

  /** @param {HTMLLIElement} item */
  remove(item) {
    const isFocused = item.contains(this.#focused());
    const next = item.previousElementSibling ?? item.nextElementSibling;
    item.remove();
    if (isFocused) focus(next?.firstElementChild ?? this.panel);
  }

  /**
   * @param {HTMLLIElement} item
   * @param {boolean} isUnread
   */
  mark(item, isUnread) {
    const link = /** @type {Element} */ (item.firstElementChild);
    link.classList.toggle("unread", isUnread);
    link.part.toggle("unread", isUnread);
    /** @type {Element} */ (link.lastElementChild).textContent = isUnread ? ", unread" : "";
  }

  tick() {
    for (const time of this.list.querySelectorAll("time")) time.textContent = ago(Date.parse(time.dateTime));
  }

  // ---- Opening, and moving about

  open() {
    this.tick();
    this.panel.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.place();
    this.list.scrollTop = 0;
    this.enter();
  }

  close() {
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
  }

  /** Goes to the newest. */
  enter() {
    focus(this.#links().at(0) ?? this.panel);
  }

  /**
   * Moves with a key, or does not know it.
   *
   * @param {string} key
   * @param {Element} from
   */
  move(key, from) {
    const links = this.#links();
    const at = links.findIndex((link) => link === from);
    const last = links.length - 1;
    /** @type {Record<string, number>} */
    const places = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last };
    if (!(key in places)) return false;
    if (links.length) focus(links[places[key]]);
    return true;
  }

  /**
   * Whether Tab leads out of the panel.
   *
   * @param {Element} target
   */
  isLast(target) {
    return this.list.contains(target) || (target === this.panel && this.list.hidden);
  }

  #links() {
    return [...this.list.children].map((item) => /** @type {Element} */ (item.firstElementChild));
  }

  #focused() {
    const root = this.panel.getRootNode();
    return root instanceof ShadowRoot ? root.activeElement : null;
  }

  /** Beside the bell, where there is room. */
  place() {
    const { style, classList } = this.panel;
    const bell = this.button.getBoundingClientRect();
    const [above, below] = [bell.top, innerHeight - bell.bottom];
    const isAbove = below < 320 && above > below;
    classList.toggle("above", isAbove);
    style.setProperty("--_room", `${Math.max(isAbove ? above : below, 160) - 16}px`);
    style.setProperty("--_shift", "0");
    const { left, right } = this.panel.getBoundingClientRect();
    const width = document.documentElement.clientWidth;
    const shift = Math.max(8 - left, 0) || Math.min(width - 8 - right, 0);
    style.setProperty("--_shift", `${shift}px`);
  }
}

/** @param {Element} target */
function focus(target) {
  const list = target.parentElement?.parentElement;
  // Tab comes back to where the arrows were.
  for (const link of list?.querySelectorAll(".item[tabindex='0']") ?? []) link.setAttribute("tabindex", "-1");
  if (target.matches(".item")) target.setAttribute("tabindex", "0");
  /** @type {HTMLElement} */ (target).focus();
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string>} attributes
 * @param {string} [text]
 */
function element(name, attributes, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function icon() {
  const [svg, path] = ["svg", "path"].map((name) => document.createElementNS("http://www.w3.org/2000/svg", name));
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("part", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 2h-15zM10 21h4M12 5V3");
  svg.append(path);
  return svg;
}
