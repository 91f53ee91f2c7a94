/**
 * The dashboard: what is on the page, and what belongs together.
 * @module
 */

import * as channelList from "./channels.js";
import * as charts from "./charts.js";
import { find, write } from "./dom.js";
import { currentToken, home, setToken, takeTokenFromAddress } from "./hub.js";
import { describe, quote, suggest } from "./publishing.js";
import { subscribe } from "./subscription.js";

const DEFAULT = "demo, demo/**";

const channels = find("channels", HTMLInputElement);
const token = find("token", HTMLInputElement);

/** Subscribes to what the page's address says. */
function follow() {
  const hash = location.hash.slice(1);
  try {
    channels.value = decodeURIComponent(hash) || DEFAULT;
  } catch {
    channels.value = hash;
  }
  begin();
}

function begin() {
  const names = named();
  const [first] = names;
  suggest(first.includes("*") || first.startsWith("herald/") ? "demo" : first);
  subscribe(names);
}

const named = () => channels.value.match(/[^\s,]+/g) ?? ["demo"];

/** Everything on the page asks with it. */
function useToken() {
  setToken(token.value.trim());
  charts.start();
  channelList.refresh();
  const bell = find("bell", HTMLElement);
  bell.toggleAttribute("share", !currentToken());
  bell.setAttribute("token", currentToken());
  describe();
}

find("subscription", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  if (token.value.trim() !== currentToken()) useToken();
  begin();
  const hash = named().map(encodeURIComponent).join(",").replaceAll("%2F", "/");
  if (location.hash !== `#${hash}`) history.pushState(null, "", `#${hash}`);
});
addEventListener("hashchange", follow);

const address = home.href.replace(/\/$/, "");
const isDefault = ["http://127.0.0.1:8080", "http://localhost:8080"].includes(address);
write(find("hint-curl", HTMLElement), `curl -N ${quote(`${address}/events/demo`)}`);
write(find("hint-publish", HTMLElement),
  `vmstat 1 | herald publish --lines demo/vmstat${isDefault ? "" : ` --url ${quote(address)}`}`);

takeTokenFromAddress();
token.value = currentToken();
useToken();
channelList.onChoice((name) => {
  channels.value = name;
  find("subscription", HTMLFormElement).requestSubmit();
});
follow();
