/**
 * What an event says as a notification.
 * @module
 */

/** @typedef {import("../herald.js").HeraldEvent} HeraldEvent */

/**
 * @typedef {object} Notification
 * @property {string} id
 * @property {string} type
 * @property {string} data
 * @property {any} json What the data says, if it is JSON.
 */

/** What is shown of a text: it may be a megabyte. */
const MAX_LENGTH = 500;

/** @param {HeraldEvent} event */
export function notificationOf({ id, type, data, json }) {
  return { id, type, data, json };
}

/**
 * What to show: `{title, body, url}`, or a text. Anything else is shown as it came.
 *
 * @param {Notification} notification
 */
export function wordsOf({ id, data, json }) {
  const fields = Object(json);
  const isText = fields !== json;
  const title = text(fields.title);
  const body = text(fields.body);
  const whole = isText ? text(json) || data : data;
  return {
    title: cut(title || body || whole.trim()) || "Notification",
    body: title ? cut(body) : "",
    url: safe(fields.url),
    time: timeOf(id),
  };
}

/**
 * How long ago, in words.
 *
 * @param {number} time
 * @param {number} [now]
 */
export function ago(time, now = Date.now()) {
  const seconds = Math.max(now - time, 0) / 1_000;
  if (seconds < 45) return "now";
  const words = new Intl.RelativeTimeFormat("en", { style: "short", numeric: "auto" });
  if (seconds < 45 * 60) return words.format(-Math.round(seconds / 60), "minute");
  if (seconds < 22 * 3_600) return words.format(-Math.round(seconds / 3_600), "hour");
  return words.format(-Math.round(seconds / 86_400), "day");
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" || typeof value === "number" ? String(value).trim() : "";
}

/** @param {string} words */
function cut(words) {
  return words.length > MAX_LENGTH ? `${words.slice(0, MAX_LENGTH)}…` : words;
}

/**
 * Where it leads, or "": whoever may publish must not run a script here.
 *
 * @param {unknown} url
 */
function safe(url) {
  if (typeof url !== "string" || !url) return "";
  try {
    const { href, protocol } = new URL(url, document.baseURI);
    return protocol === "https:" || protocol === "http:" ? href : "";
  } catch {
    return "";
  }
}

/**
 * An id of the hub's begins with the time; one of the publisher's tells none.
 *
 * @param {string} id
 */
function timeOf(id) {
  const [, milliseconds] = /^(\d{13})-\d+$/.exec(id) ?? [];
  return milliseconds ? Number(milliseconds) : undefined;
}
