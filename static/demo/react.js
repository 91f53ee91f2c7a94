// `/demo/react`: the hook and the bell of `react.js`, without a build step.

import { createElement as h, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { NotificationBell, useSSE } from "../react.js";

/** @typedef {import("react").FormEvent<HTMLFormElement>} Submission */
/** @typedef {{ url: string }} Stream */

// Relative to the page, which may be mounted under a prefix.
const EVENTS = "../events";
const NOTIFICATIONS = "../notifications";
const NOTIFY = "../notify";
const CHANNELS = "../channels";

/** @param {string} channel */
const path = (channel) => channel.split("/").map(encodeURIComponent).join("/");

function Demo() {
  const [channel, setChannel] = useState("demo");
  const url = `${EVENTS}/${path(channel)}`;
  return h("div", {},
    h("header", {},
      h("h1", {}, h(Logo), "herald in React"),
      h("p", {}, "useSSE and NotificationBell"),
      h(NotificationBell, { src: NOTIFICATIONS, user: "demo" })),
    h("main", {},
      h(Subscription, { url, channel, onChange: setChannel }),
      h(Newest, { url }),
      h(Orders, { url }),
      h(Publish, { url }),
      h(Ring)));
}

/** @param {Stream & { channel: string, onChange: (channel: string) => void }} props */
function Subscription({ url, channel, onChange }) {
  const { state, error, lastEventId } = useSSE(url);
  const subscribers = useSubscribers(channel, `${state} ${lastEventId}`);
  /** @param {Submission} event */
  const submit = (event) => {
    event.preventDefault();
    onChange(String(new FormData(event.currentTarget).get("channel")).trim());
  };
  return h("form", { className: "panel wide", onSubmit: submit, autoComplete: "off" },
    h("div", { className: "row" },
      h("label", {}, "Channel",
        h("input", { name: "channel", defaultValue: channel, required: true, spellCheck: false, autoCapitalize: "off" })),
      h("button", {}, "Subscribe")),
    h("dl", {},
      h(Fact, { name: "Connection" }, h("span", { className: "state", "data-state": state, role: "status" }, state)),
      h(Fact, { name: "Last event id" }, h("code", { id: "last-event-id" }, lastEventId || "none yet")),
      h(Fact, { name: "Subscribers, says the hub" }, h("span", { id: "subscribers" }, subscribers))),
    h("p", {}, "Three components of this page follow the channel, over one connection."),
    error && h("p", { className: "failed", role: "alert" }, error.message));
}

/** @param {Stream} props */
function Newest({ url }) {
  const { data } = useSSE(url);
  return h("section", { className: "panel" },
    h("h2", {}, "Every event"),
    h("code", {}, `useSSE("${url}")`),
    h("pre", { id: "newest", className: "data", tabIndex: 0 }, readable(data)));
}

/** @param {Stream} props */
function Orders({ url }) {
  const { data } = useSSE(url, { event: "order" });
  return h("section", { className: "panel" },
    h("h2", {}, "Orders alone"),
    h("code", {}, `useSSE("${url}", { event: "order" })`),
    h("pre", { id: "orders", className: "data", tabIndex: 0 }, readable(data)));
}

/** @param {Stream} props */
function Publish({ url }) {
  return h(Form, {
    title: "Publish to the channel",
    button: "Publish",
    /** @param {FormData} form */
    request: (form) => [`${url}?event=${form.get("type")}`, String(form.get("data"))],
  },
    h("label", {}, "Event type",
      h("select", { name: "type" }, h("option", {}, "order"), h("option", {}, "message"))),
    h("label", {}, "Data, text or JSON",
      h("textarea", { name: "data", spellCheck: false, defaultValue: '{"item": "tea", "cups": 2}' })));
}

function Ring() {
  return h(Form, {
    title: "Ring the bell",
    button: "Notify",
    /** @param {FormData} form */
    request: (form) => [NOTIFY, JSON.stringify(Object.fromEntries(form))],
  },
    h("label", {}, "Title", h("input", { name: "title", defaultValue: "Your tea is ready", required: true })),
    h("label", {}, "Text", h("input", { name: "body", defaultValue: "Two cups, as ordered." })),
    h("label", {}, "Where it leads", h("input", { name: "url", placeholder: "https://…", spellCheck: false })));
}

/**
 * @param {object} props
 * @param {string} props.title
 * @param {string} props.button
 * @param {(form: FormData) => string[]} props.request The URL and the body.
 * @param {import("react").ReactNode} [props.children]
 */
function Form({ title, button, request, children }) {
  const [answer, setAnswer] = useState({ id: "", problem: "" });
  /** @param {Submission} event */
  const submit = async (event) => {
    event.preventDefault();
    const [url, body] = request(new FormData(event.currentTarget));
    setAnswer(await post(url, body));
  };
  return h("form", { className: "panel", onSubmit: submit, autoComplete: "off" },
    h("h2", {}, title),
    children,
    h("div", { className: "send" },
      h("button", {}, button),
      h("output", {}, answer.id && `published as ${answer.id}`),
      answer.problem && h("span", { className: "failed", role: "alert" }, answer.problem)));
}

/** @param {{ name: string, children?: import("react").ReactNode }} props */
function Fact({ name, children }) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, children));
}

function Logo() {
  return h("svg", { viewBox: "0 0 24 24", "aria-hidden": true },
    h("rect", { width: 24, height: 24, rx: 6, fill: "var(--accent)" }),
    h("path", {
      fill: "none", stroke: "var(--on-accent)", strokeWidth: 1.8, strokeLinejoin: "round", strokeLinecap: "round",
      d: "M3.5 9H15l5-3v6l-5-3M6.5 9v9l3-2.5 3 2.5V9",
    }));
}

/**
 * How many the hub counts on a channel, asked again when `moment` is another.
 *
 * @param {string} channel
 * @param {string} moment
 */
function useSubscribers(channel, moment) {
  const [subscribers, setSubscribers] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    fetch(`${CHANNELS}/${path(channel)}`, { signal: stop.signal })
      .then((response) => response.json())
      .then((answer) => setSubscribers(String(answer.subscribers ?? "")))
      .catch(() => setSubscribers(""));
    return () => stop.abort();
  }, [channel, moment]);
  return subscribers || "unknown";
}

/**
 * @param {string} url
 * @param {string} body
 */
async function post(url, body) {
  const type = isJson(body) ? "application/json" : "text/plain; charset=utf-8";
  try {
    const response = await fetch(url, { method: "POST", body, headers: { "Content-Type": type } });
    const answer = await response.json();
    return response.ok ? { id: answer.id, problem: "" } : { id: "", problem: answer.detail };
  } catch {
    return { id: "", problem: "The hub cannot be reached." };
  }
}

/** @param {string} text */
function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** @param {unknown} data */
const readable = (data) => (typeof data === "string" ? data : JSON.stringify(data, null, 2));

const root = /** @type {HTMLElement} */ (document.getElementById("root"));
createRoot(root).render(h(StrictMode, {}, h(Demo)));
