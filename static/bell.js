/**
 * A bell that rings: the notifications of a herald hub, as an element for any page.
 *
 * ```html
 * <script type="module" src="/static/bell.js"></script>
 * <notification-bell src="/notifications" user="42"></notification-bell>
 * ```
 *
 * | attribute | |
 * |---|---|
 * | `src` | the stream; without it the bell waits |
 * | `user` | whose notifications: what is read is kept for each user |
 * | `token` | sent as `Authorization: Bearer`; the property `getToken` is a function that fetches one |
 * | `label` | its name, `Notifications` |
 * | `share` | one connection for all tabs of the user |
 *
 * A notification is JSON, `{"title", "body", "url"}`, or a text. When one is activated, the element
 * fires `notification-select`, with `{id, type, data, json}` as its `detail`; unless that is
 * prevented, the page goes to the `url`, if it is one of http or https.
 *
 * Colours follow `color-scheme`. Each has a variable, `--herald-bell-…`: `color` (of the bell),
 * `accent`, `badge`, `on-badge`, `panel`, `text`, `muted`, `line`, `hover`, `unread`, `warn`,
 * `warn-tint`; besides them there are `font`, `size`, `width`, `radius` and `layer` (the z-index).
 * Parts: `bell`, `icon`, `badge`, `panel`, `head`, `heading`, `all`, `note`, `list`, `item`
 * (`item unread`), `title`, `time`, `body`, `empty`, `more`.
 * @module
 */

import { connect } from "./herald.js";
import { notificationOf, wordsOf } from "./bell/notification.js";
import { readMarks } from "./bell/read-marks.js";
import { style } from "./bell/style.js";
import { BellView } from "./bell/view.js";

/** @typedef {import("./herald.js").Connection} Connection */
/** @typedef {import("./herald.js").HeraldEvent} HeraldEvent */
/** @typedef {import("./bell/notification.js").Notification} Notification */
/** @typedef {ReturnType<typeof readMarks>} ReadMarks */

/** So many are listed. */
const KEPT = 50;
/** What says where a stream begins. */
const BEGINNINGS = ["last", "since", "last_event_id", "lastEventId", "lastEventID", "Last-Event-ID"];
/** What may carry a token. */
const TOKENS = ["token", "access_token", "authorization"];
/** A reader is told of what came in this time in one sentence, in milliseconds… */
const GATHER = 1_000;
/** …and not more often than this. */
const RESPITE = 5_000;

// So that a server can load this, too.
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/** `<notification-bell>` */
export class NotificationBellElement extends Base {
  static observedAttributes = ["src", "user", "token", "label", "share"];

  /** @type {Connection | undefined} */
  #connection;
  /** @type {(() => string | Promise<string>) | undefined} */
  #getToken;
  #settings = "";
  #isSettling = false;

  /** @type {Notification[]} The newest first. */
  #list = [];
  /** Unread ones that are not listed any more. */
  #older = 0;
  #hasGap = false;
  /** @type {ReadMarks | undefined} */
  #marks;
  /** Those without an id, which cannot be remembered. @type {WeakSet<Notification>} */
  #readHere = new WeakSet();
  /** @type {(() => void)[]} */
  #stops = [];

  #view = new BellView();
  /** @type {Map<Notification, HTMLLIElement>} */
  #items = new Map();
  #isDrawing = false;
  /** @type {AbortController | undefined} */
  #opened;

  /** How many nobody has been told of. */
  #news = 0;
  #announcing = 0;
  #announced = -RESPITE;

  constructor() {
    super();
    const { root, button, all, list } = this.#view;
    const shadow = this.attachShadow({ mode: "open" });
    shadow.adoptedStyleSheets = [style()];
    shadow.append(root);
    button.addEventListener("click", () => (this.#opened ? this.#close() : this.#open()));
    all.addEventListener("click", () => this.#readAll());
    list.addEventListener("click", (event) => this.#select(event));
    shadow.addEventListener("keydown", (event) => this.#press(/** @type {KeyboardEvent} */ (event)));
    shadow.addEventListener("focusout", (event) => {
      const { relatedTarget } = /** @type {FocusEvent} */ (event);
      if (relatedTarget && !shadow.contains(/** @type {Node} */ (relatedTarget))) this.#close();
    });
    // Whoever set it before this class was known has set it on the element itself.
    if (Object.hasOwn(this, "getToken")) {
      const { getToken } = this;
      Reflect.deleteProperty(this, "getToken");
      this.getToken = getToken;
    }
  }

  /** Asked for a token, and for a fresh one when the hub refuses it. */
  get getToken() {
    return this.#getToken;
  }

  set getToken(getToken) {
    this.#getToken = getToken;
    this.#settle();
  }

  connectedCallback() {
    this.#settle();
  }

  disconnectedCallback() {
    this.#settle();
  }

  attributeChangedCallback() {
    this.#settle();
  }

  /** @param {FocusOptions} [options] */
  focus(options) {
    this.#view.button.focus(options);
  }

  // ---- Connecting

  /** Once for all that changes in one go: several attributes, or the element's place. */
  #settle() {
    if (this.#isSettling) return;
    this.#isSettling = true;
    queueMicrotask(() => {
      this.#isSettling = false;
      const { isConnected } = this;
      if (!isConnected) this.#close();
      const [src, user, token] = ["src", "user", "token"].map((name) => this.getAttribute(name));
      const share = this.hasAttribute("share") && (user || true);
      const base = document.baseURI;
      const settings = isConnected && src ? JSON.stringify([src, base, user, token, share, !this.#getToken]) : "";
      if (settings !== this.#settings) {
        this.#settings = settings;
        this.#stop();
        if (isConnected && src) this.#start(src, user ?? "", { token: token || undefined, share });
      }
      this.#draw();
    });
  }

  /**
   * @param {string} src
   * @param {string} user
   * @param {import("./herald.js").Options} options
   */
  #start(src, user, options) {
    if (!URL.canParse(src, document.baseURI)) return;
    const url = new URL(src, document.baseURI);
    this.#marks = readMarks(`herald-bell:${withoutToken(url)}:${user}`);
    if (!BEGINNINGS.some((name) => url.searchParams.has(name))) url.searchParams.set("last", String(KEPT));
    if (this.#getToken) options.getToken = () => this.#getToken?.() ?? "";
    const connection = (this.#connection = connect(url, options));
    this.#stops = [
      connection.on("*", (event) => this.#take(event)),
      connection.watch(() => this.#draw()),
      this.#marks.watch(() => this.#draw()),
      () => connection.close(),
    ];
  }

  #stop() {
    for (const stop of this.#stops) stop();
    this.#stops = [];
    this.#connection = undefined;
    // They may be another user's.
    this.#list = [];
    this.#older = 0;
    this.#hasGap = false;
    clearTimeout(this.#announcing);
    this.#announcing = this.#news = 0;
    this.#view.say("");
  }

  // ---- Receiving

  /** @param {HeraldEvent} event */
  #take(event) {
    this.#draw();
    if (event.type === "gap") {
      this.#hasGap = true;
      return;
    }
    const notification = notificationOf(event);
    if (notification.id && this.#list.some(({ id }) => id === notification.id)) return;
    this.#list.unshift(notification);
    const dropped = this.#list.splice(KEPT);
    this.#older += dropped.filter((old) => this.#isUnread(old)).length;
    if (this.#isUnread(notification)) this.#announce(notification);
  }

  /** @param {Notification} notification */
  #isUnread(notification) {
    return !this.#marks?.has(notification.id) && !this.#readHere.has(notification);
  }

  /** @param {Notification[]} notifications */
  #read(notifications) {
    for (const notification of notifications) if (!notification.id) this.#readHere.add(notification);
    this.#marks?.add(notifications.map(({ id }) => id).filter(Boolean));
  }

  /** @param {Notification} notification */
  #announce(notification) {
    this.#news += 1;
    if (this.#announcing) return;
    const wait = Math.max(GATHER, this.#announced + RESPITE - performance.now());
    this.#announcing = setTimeout(() => {
      const { title } = wordsOf(notification);
      if (this.#news === 1) this.#view.say(`New notification: ${title}`);
      else if (this.#news) this.#view.say(`${this.#news} new notifications`);
      this.#announced = performance.now();
      this.#announcing = this.#news = 0;
    }, wait);
  }

  #readAll() {
    this.#older = this.#news = 0;
    this.#hasGap = false;
    this.#read(this.#list.toReversed());
    // The button is about to go.
    this.#view.enter();
  }

  // ---- Showing

  /** At most once a frame: a busy stream must not freeze the page. */
  #draw() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      this.#drawItems();
      const unread = this.#list.filter((one) => this.#isUnread(one)).length;
      // Who has read all that is listed is not held to what is not.
      if (!unread) this.#older = 0;
      this.#view.show({
        label: this.getAttribute("label") || "Notifications",
        unread: unread + this.#older,
        older: this.#older,
        hasGap: this.#hasGap,
        problem: this.#problem(),
      });
    });
  }

  #problem() {
    const { state, error } = this.#connection ?? {};
    if (!error || state === "open") return "";
    return `${state === "closed" ? "Not connected" : "Connection lost, trying again"}: ${error.message}`;
  }

  #drawItems() {
    const kept = new Set(this.#list);
    for (const [notification, item] of this.#items) {
      if (kept.has(notification)) continue;
      this.#items.delete(notification);
      this.#view.remove(item);
    }
    for (const notification of this.#list.filter((one) => !this.#items.has(one)).reverse()) {
      this.#items.set(notification, this.#view.add(wordsOf(notification)));
    }
    for (const [notification, item] of this.#items) this.#view.mark(item, this.#isUnread(notification));
  }

  // ---- Acting

  #open() {
    if (this.#opened) return;
    this.#opened = new AbortController();
    const { signal } = this.#opened;
    const closeOutside = (/** @type {Event} */ event) => event.composedPath().includes(this) || this.#close();
    document.addEventListener("pointerdown", closeOutside, { signal, capture: true });
    addEventListener("resize", () => this.#view.place(), { signal });
    const minutely = setInterval(() => this.#view.tick(), 60_000);
    signal.addEventListener("abort", () => clearInterval(minutely));
    this.#view.open();
  }

  #close({ givesFocusBack = false } = {}) {
    if (!this.#opened) return;
    this.#opened.abort();
    this.#opened = undefined;
    this.#view.close();
    if (givesFocusBack) this.focus();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const { key, shiftKey, altKey, ctrlKey, metaKey } = event;
    const target = /** @type {Element} */ (event.target);
    if (altKey || ctrlKey || metaKey) return;
    if (key === "Tab") {
      // Also where the page ends here, and nothing else takes the focus.
      if (this.#opened && !shiftKey && this.#view.isLast(target)) this.#close();
      return;
    }
    if (key === "Escape" && this.#opened) this.#close({ givesFocusBack: true });
    else if (key === "ArrowDown" && !this.#opened) this.#open();
    else if (!this.#opened || !this.#view.move(key, target)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {MouseEvent} event */
  #select(event) {
    const link = /** @type {Element} */ (event.target).closest(".item");
    const [notification] = [...this.#items].find(([, item]) => item.firstElementChild === link) ?? [];
    if (!notification) return;
    this.#read([notification]);
    const select = new CustomEvent("notification-select", {
      detail: notification, bubbles: true, composed: true, cancelable: true,
    });
    const isPrevented = !this.dispatchEvent(select);
    if (isPrevented) event.preventDefault();
    const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey;
    if (isPrevented || (link instanceof HTMLAnchorElement && !isElsewhere)) this.#close({ givesFocusBack: true });
  }
}

/** What is kept by the browser must not let anybody in. @param {URL} url */
function withoutToken(url) {
  const plain = new URL(url);
  for (const name of TOKENS) plain.searchParams.delete(name);
  return plain;
}

// Another copy may be here already, such as one that was bundled.
if (globalThis.customElements && !customElements.get("notification-bell")) {
  customElements.define("notification-bell", NotificationBellElement);
}
