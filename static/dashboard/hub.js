/**
 * The hub that this page is of, and the token with which it is asked.
 * @module
 */

/** Where it is: the page may be mounted under a prefix. */
export const home = new URL(".", document.baseURI);

/** The events' address. */
export const events = new URL("events", home);

const KEY = "herald-token";

/** Kept for this tab only. */
let token = sessionStorage.getItem(KEY) ?? "";

export const currentToken = () => token;

/** @param {string} value */
export function setToken(value) {
  token = value;
  sessionStorage.setItem(KEY, value);
}

/** Takes the token out of the page's address, where it would be seen. */
export function takeTokenFromAddress() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given === null) return;
  setToken(given);
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

/**
 * Asks the hub, and throws what it says of a refusal (RFC 9457).
 *
 * @param {URL} url
 * @param {RequestInit} [init]
 */
export async function ask(url, init = {}) {
  const headers = new Headers(init.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let response;
  try {
    response = await fetch(url, { cache: "no-store", ...init, headers });
  } catch {
    throw new Error("the hub cannot be reached");
  }
  const body = await response.json().catch(() => null);
  // Unless a proxy answered.
  if (!response.ok) throw new Error(body?.detail ?? `the hub answers ${response.status} ${response.statusText}`);
  return body;
}
