/**
 * herald in React (18.2 and later): a hook that follows a stream, and the bell.
 *
 * ```jsx
 * const { data, error, state } = useSSE("/events/orders/eu", { event: "order" });
 * ```
 *
 * Components that ask for the same share one connection, wherever they are on the page.
 * @module
 */

import { createElement, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { connect } from "./herald.js";
import "./bell.js";

/** @typedef {import("./herald.js").Connection} Connection */
/** @typedef {import("./herald.js").HeraldEvent} HeraldEvent */
/** @typedef {import("./herald.js").HeraldError} HeraldError */
/** @typedef {import("./bell.js").Notification} Notification */

/**
 * @typedef {object} Choice
 * @property {string | string[]} [event] The types to follow; without it every type but `gap`.
 *
 * @typedef {Choice & Omit<import("./herald.js").Options, "signal">} Options
 */

/**
 * @template T
 * @typedef {object} SSE What a component knows of a stream.
 * @property {T | undefined} data What the newest event says, as JSON, or as text if it is none.
 * @property {HeraldError | undefined} error What went wrong last, until the connection is open again.
 * @property {Connection["state"]} state
 * @property {string} lastEventId Where the stream stood when this was new.
 */

/** @type {SSE<any>} */
const CONNECTING = Object.freeze({ data: undefined, error: undefined, state: "connecting", lastEventId: "" });
/** @type {SSE<any>} */
const CLOSED = Object.freeze({ ...CONNECTING, state: "closed" });

/**
 * Follows a stream for as long as the component is there. Without a URL it follows nothing.
 *
 * It reconnects when what it asks for has changed by value: options may be written inline. Of
 * `getToken` the newest is used, so that a token which runs out needs no other connection. Only what
 * `event` selects renders the component again, and what happens to the connection.
 *
 * @template [T=unknown]
 * @param {string | URL | null} [url]
 * @param {Options} [options]
 * @returns {SSE<T>}
 */
export function useSSE(url, options = {}) {
  const key = url ? keyOf(url, options) : "";
  const types = JSON.stringify([options.event ?? []].flat());
  const newest = useRef(options);
  // Stands before the subscription, whose effect opens the connection with it.
  useEffect(() => {
    newest.current = options;
  });
  const store = useMemo(() => storeOf(key, types, newest), [key, types]);
  return useSyncExternalStore(store.subscribe, store.read, store.readOnServer);
}

/**
 * What two components must have in common to share a connection.
 *
 * @param {string | URL} url
 * @param {Options} options
 */
function keyOf(url, { channels, lastEventId, token, share, credentials, ping, headers, getToken }) {
  const values = [channels, lastEventId, token, share, credentials, ping, headers];
  return JSON.stringify([absolute(url), ...values, Boolean(getToken)]);
}

/** @param {string | URL} url */
function absolute(url) {
  try {
    return new URL(url, globalThis.document?.baseURI).href;
  } catch {
    // On a server, which has no page and opens nothing; `connect` says what is wrong with any other.
    return String(url);
  }
}

/** @typedef {{ current: Options }} Newest */

/**
 * @param {string} key
 * @param {string} types
 * @param {Newest} newest
 */
function storeOf(key, types, newest) {
  if (!key) return { subscribe: () => () => {}, read: () => CLOSED, readOnServer: () => CLOSED };
  return {
    /** @param {() => void} render */
    subscribe: (render) => SharedConnection.of(key, newest).join(types, newest, render),
    read: () => SharedConnection.find(key)?.view(types).seen ?? CONNECTING,
    readOnServer: () => CONNECTING,
  };
}

/** A connection, and who on this page follows it. */
class SharedConnection {
  /** @type {Map<string, SharedConnection>} */
  static #all = new Map();

  /** @type {Map<string, View>} */
  #views = new Map();
  /** @type {Set<Newest>} */
  #followers = new Set();
  #connection;
  #key;

  /** @param {string} key */
  static find(key) {
    return SharedConnection.#all.get(key);
  }

  /**
   * @param {string} key
   * @param {Newest} newest
   */
  static of(key, newest) {
    return SharedConnection.#all.get(key) ?? new SharedConnection(key, newest);
  }

  /**
   * @param {string} key
   * @param {Newest} newest
   */
  constructor(key, newest) {
    this.#key = key;
    const [url] = JSON.parse(key);
    const { event, getToken, ...options } = newest.current;
    // It is asked for the first time before anybody has joined.
    const ask = () => ([...this.#followers].at(-1) ?? newest).current.getToken?.() ?? "";
    this.#connection = connect(url, getToken ? { ...options, getToken: ask } : options);
    this.#connection.on("*", (event) => this.#views.forEach((view) => view.take(event)));
    this.#connection.watch(() => this.#views.forEach((view) => view.turn()));
    SharedConnection.#all.set(key, this);
  }

  /**
   * What those see who follow the same types.
   *
   * @param {string} types
   */
  view(types) {
    let view = this.#views.get(types);
    if (!view) this.#views.set(types, (view = new View(JSON.parse(types), this.#connection)));
    return view;
  }

  /**
   * Returns what leaves again.
   *
   * @param {string} types
   * @param {Newest} newest
   * @param {() => void} render
   */
  join(types, newest, render) {
    this.#followers.add(newest);
    const { renders } = this.view(types);
    renders.add(render);
    return () => {
      renders.delete(render);
      this.#followers.delete(newest);
      // React unmounts and mounts again in one go, as StrictMode does: the connection outlives that.
      setTimeout(() => {
        if (!renders.size) this.#views.delete(types);
        if (!this.#followers.size) this.#close();
      });
    };
  }

  #close() {
    if (SharedConnection.#all.get(this.#key) === this) SharedConnection.#all.delete(this.#key);
    this.#connection.close();
  }
}

class View {
  /** @type {Set<() => void>} */
  renders = new Set();
  #types;
  #connection;

  /**
   * @param {string[]} types
   * @param {Connection} connection
   */
  constructor(types, connection) {
    this.#types = types;
    this.#connection = connection;
    /** @type {SSE<any>} */
    this.seen = this.#see(undefined);
  }

  /** @param {HeraldEvent} event */
  take(event) {
    const { type, json, data } = event;
    if (this.#types.length ? this.#types.includes(type) : type !== "gap") this.#show(json === undefined ? data : json);
  }

  turn() {
    this.#show(this.seen.data);
  }

  /** @param {any} data */
  #show(data) {
    this.seen = this.#see(data);
    for (const render of this.renders) render();
  }

  /**
   * @param {any} data
   * @returns {SSE<any>}
   */
  #see(data) {
    const { error, state, lastEventId } = this.#connection;
    return { data, error, state, lastEventId };
  }
}

/**
 * @typedef {object} BellProps
 * @property {string} [src] The stream, such as `/notifications`; without it the bell waits.
 * @property {string} [user] Whose notifications they are: what is read is kept for each user.
 * @property {string} [token]
 * @property {() => string | Promise<string>} [getToken]
 * @property {boolean} [share] One connection for all tabs.
 * @property {string} [label]
 * @property {(notification: Notification, event: CustomEvent<Notification>) => void} [onSelect] Called
 *   when one is activated; `event.preventDefault()` keeps the bell from going to its URL.
 * @property {string} [className]
 * @property {import("react").CSSProperties} [style]
 */

/**
 * The bell of `bell.js`, as a component.
 *
 * @param {BellProps} props
 */
export function NotificationBell({ getToken, onSelect, className, share, ...rest }) {
  /** @type {import("react").MutableRefObject<import("./bell.js").NotificationBellElement | null>} */
  const bell = useRef(null);
  const select = useRef(onSelect);
  useEffect(() => {
    select.current = onSelect;
  });
  useEffect(() => {
    const stop = new AbortController();
    const tell = (/** @type {any} */ event) => select.current?.(event.detail, event);
    bell.current?.addEventListener("notification-select", tell, { signal: stop.signal });
    return () => stop.abort();
  }, []);
  /** @param {import("./bell.js").NotificationBellElement | null} element */
  const ref = (element) => {
    bell.current = element;
    // Here, and not in an effect, it comes before the bell connects; React 18 sets no properties.
    if (element) element.getToken = getToken;
  };
  // What React 18 and 19 take alike: `class`, and an empty attribute for what is true.
  const attributes = { ...rest, ref, class: className, share: share ? "" : undefined };
  return createElement("notification-bell", attributes);
}
