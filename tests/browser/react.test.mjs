// `static/react.js` in a real browser, against the real binary.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { notify, publish, startHub, subscribers } from "./hub.mjs";
import { openBrowser, openOurs, openPage } from "./pages.mjs";
import { KEY, token } from "./token.mjs";
import { until } from "./until.mjs";
import { VENDORED, bundle } from "./vendor.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const REACT_18 = { react: "react-18", "react-dom": "react-dom-18" };

/** A page that renders what it is told to, and counts its streams. */
async function openReaders(t, hub, { vendored } = {}) {
  const context = await openBrowser(t);
  if (vendored) {
    await context.route("**/vendor/react.js", (route) => route.fulfill({ body: vendored, contentType: "text/javascript" }));
  }
  const requests = [];
  context.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (pathname.startsWith("/events")) requests.push(pathname);
  });
  const page = await openOurs(t, context, hub, "react.html");
  await page.waitForFunction(() => window.show);
  return {
    page,
    requests,
    show: (readers, { root = "one", asks } = {}) =>
      page.evaluate(([...args]) => window.show(...args), [root, readers, { asks }]),
    state: (name, state) => page.waitForSelector(`#${name}[data-state="${state}"]`, { state: "attached" }),
    data: (name, data) => page.waitForFunction(([name, data]) =>
      document.getElementById(name)?.textContent === data, [name, JSON.stringify(data)]),
    attribute: (name, attribute) => page.getAttribute(`#${name}`, attribute),
  };
}

test("a component shows the newest event, as JSON or as text", async (t) => {
  const hub = await startHub(t);
  const { show, state, data, attribute } = await openReaders(t, hub);
  await show([{ name: "a", url: "/events/a" }]);
  await state("a", "open");
  await publish(hub, "a", '{"cups":2}', "event=order");
  await data("a", { cups: 2 });
  const { id } = await publish(hub, "a", "tea, please");
  await data("a", "tea, please");
  assert.equal(await attribute("a", "data-id"), id);
  await publish(hub, "a", "null");
  await data("a", null);
});

test("a component sees the types that it names, and without a name every type but gap", async (t) => {
  const hub = await startHub(t);
  const { show, data, attribute } = await openReaders(t, hub);
  const one = { url: "/events/a", lastEventId: "1-0" };
  await show([
    { name: "all", ...one },
    { name: "orders", ...one, event: "order" },
    { name: "both", ...one, event: ["order", "offer"] },
    { name: "gaps", ...one, event: "gap" },
  ]);
  await data("gaps", { after: "1-0", oldest: null });
  assert.equal(await attribute("all", "data-state"), "open");
  await publish(hub, "a", "1", "event=order");
  await publish(hub, "a", "2", "event=offer");
  await publish(hub, "a", "3", "event=other");
  await data("all", 3);
  await data("both", 2);
  await data("orders", 1);
  await data("gaps", { after: "1-0", oldest: null });
});

test("rendering again asks for nothing, nor does StrictMode ask twice", async (t) => {
  const hub = await startHub(t);
  const { show, state, data, requests } = await openReaders(t, hub);
  for (let i = 0; i < 20; i++) {
    await show([{ name: "a", url: "/events", channels: ["a"], event: ["message"] }], { asks: `render ${i}` });
  }
  await state("a", "open");
  await publish(hub, "a", '"here"');
  await data("a", "here");
  await show([{ name: "a", url: "/events", channels: ["a"], event: ["message"] }], { asks: "the last" });
  assert.equal(requests.length, 1);
  assert.equal(await subscribers(hub, "a"), 1);
});

test("components that ask for the same share a connection, in two roots and with types of their own", async (t) => {
  const hub = await startHub(t);
  const { show, data, state, requests } = await openReaders(t, hub);
  await show([{ name: "a", url: "/events/a" }, { name: "b", url: `${hub.url}/events/a`, event: "x" }]);
  await show([{ name: "c", url: "../events/a", event: ["y", "x"] }], { root: "two" });
  for (const name of ["a", "b", "c"]) await state(name, "open");
  await publish(hub, "a", "1", "event=x");
  for (const name of ["a", "b", "c"]) await data(name, 1);
  await show([]);
  await publish(hub, "a", "2", "event=y");
  await data("c", 2);
  await show([{ name: "late", url: "/events/a", event: ["y", "x"] }]);
  await data("late", 2);
  assert.equal(requests.length, 1);
  assert.equal(await subscribers(hub, "a"), 1);
});

test("the stream ends with the last component", async (t) => {
  const hub = await startHub(t);
  const { show, state } = await openReaders(t, hub);
  await show([{ name: "a", url: "/events/a" }]);
  await state("a", "open");
  assert.equal(await subscribers(hub, "a"), 1);
  await show([]);
  await until(async () => (await subscribers(hub, "a")) === 0);
});

test("another URL, channel or token is another connection, and no URL is none", async (t) => {
  const hub = await startHub(t);
  const { page, show, state, data, requests } = await openReaders(t, hub);
  await show([{ name: "a", url: null }]);
  await state("a", "closed");
  assert.deepEqual(requests, []);
  await show([{ name: "a", url: "/events/a" }]);
  await state("a", "open");
  await publish(hub, "a", "1");
  await data("a", 1);
  await show([{ name: "a", url: "/events/b" }]);
  await until(async () => (await subscribers(hub, "b")) === 1 && (await subscribers(hub, "a")) === 0);
  await state("a", "open");
  assert.equal(await page.textContent("#a"), "", "nothing of the stream before");
  await show([{ name: "a", url: "/events", channels: ["c"] }]);
  await until(async () => (await subscribers(hub, "c")) === 1);
  await show([{ name: "a", url: "/events", channels: ["c"], token: "of another" }]);
  await until(() => requests.length === 4);
  await show([{ name: "a", url: "" }]);
  await state("a", "closed");
  await until(async () => (await subscribers(hub, "c")) === 0);
});

test("a refusal is shown, and not asked again", async (t) => {
  const hub = await startHub(t, { flags: ["--jwt-key", KEY, "--anonymous-subscribe", "public/**"] });
  const { show, state, attribute, requests } = await openReaders(t, hub);
  await show([{ name: "a", url: "/events/a", token: token({ subscribe: ["b"] }) }]);
  await state("a", "closed");
  assert.match(await attribute("a", "data-error"), /a/);
  assert.equal(requests.length, 1);
  await show([{ name: "a", url: "/events/a", token: token({ subscribe: ["a"] }) }]);
  await state("a", "open");
  assert.equal(await attribute("a", "data-error"), null);
});

test("the newest getToken is asked", async (t) => {
  const hub = await startHub(t, { flags: ["--jwt-key", KEY] });
  const { page, show, state } = await openReaders(t, hub);
  await page.evaluate((good) => {
    const first = new Promise((resolve) => (window.refuse = () => resolve("no token at all")));
    window.answer = (name) => (name === "old" ? first : good);
  }, token({ subscribe: ["a"] }));
  await show([{ name: "a", url: "/events/a" }], { asks: "old" });
  await state("a", "connecting");
  await show([{ name: "a", url: "/events/a" }], { asks: "new" });
  await page.evaluate(() => window.refuse());
  await state("a", "open");
});

test("a restart of the hub is a wait, with a reason, and then it goes on", async (t) => {
  const hub = await startHub(t);
  const { show, state, data, attribute } = await openReaders(t, hub);
  await show([{ name: "a", url: "/events/a" }]);
  await state("a", "open");
  await hub.stop();
  await state("a", "waiting");
  assert.ok(await attribute("a", "data-error"));
  const again = await startHub(t, { port: hub.port });
  await state("a", "open");
  assert.equal(await attribute("a", "data-error"), null);
  await publish(again, "a", "1");
  await data("a", 1);
});

test("the bell is a component, too", async (t) => {
  const hub = await startHub(t);
  const { page } = await openReaders(t, hub);
  await ringAndSelect(page, hub);
});

async function ringAndSelect(page, hub) {
  await page.evaluate(() => window.showBell({ src: "/notifications", user: "7", className: "mine", style: { color: "red" } }));
  await notify(hub, { title: "tea", url: "/elsewhere" });
  await page.locator("notification-bell.mine .badge", { hasText: "1" }).waitFor();
  await page.click("notification-bell");
  await page.click("notification-bell .item");
  assert.deepEqual(await page.evaluate(() => window.selected), { title: "tea", url: "/elsewhere" });
  assert.equal(new URL(page.url()).pathname, "/tests/react.html");
  assert.equal(await page.getAttribute("notification-bell", "style"), "color: red;");
}

test("React 18.2 does", async (t) => {
  const hub = await startHub(t);
  const contents = `
    export { default, StrictMode, createElement, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
    export { createRoot } from "react-dom/client";`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: HERE }, alias: REACT_18, bundle: true, format: "esm", write: false,
    define: { "process.env.NODE_ENV": '"development"' },
  });
  const { page, show, state, data, requests } = await openReaders(t, hub, { vendored: outputFiles[0].text });
  for (let i = 0; i < 5; i++) await show([{ name: "a", url: "/events/a" }, { name: "b", url: "/events/a", event: "x" }]);
  await state("b", "open");
  await publish(hub, "a", "1", "event=x");
  await data("a", 1);
  await data("b", 1);
  assert.equal(requests.length, 1);
  await show([]);
  await until(async () => (await subscribers(hub, "a")) === 0);
  await ringAndSelect(page, hub);
});

for (const [name, alias] of [["React 19", {}], ["React 18.2", REACT_18]]) {
  test(`a server renders with ${name}, and opens nothing`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "herald-"));
    t.after(() => rm(folder, { recursive: true }));
    const contents = `
      import { createElement } from "react";
      import { renderToString } from "react-dom/server";
      import { NotificationBell, useSSE } from "../../static/react.js";
      const Reader = ({ url }) => createElement("p", {}, JSON.stringify(useSSE(url)));
      export const text = [
        createElement(Reader, { url: "/events/a" }), createElement(Reader, {}),
        createElement(NotificationBell, { src: "/notifications", share: true, className: "mine", getToken: () => "" }),
      ].map(renderToString).join("");`;
    const outfile = join(folder, "server.mjs");
    await build({
      stdin: { contents, resolveDir: HERE }, nodePaths: [join(HERE, "node_modules")], alias, outfile,
      bundle: true, format: "esm", platform: "node",
      banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    });
    t.mock.method(globalThis, "fetch", () => assert.fail("a request"));
    const { text } = await import(pathToFileURL(outfile));
    const seen = text.replaceAll("&quot;", '"');
    assert.match(seen, /<p>\{"state":"connecting","lastEventId":""\}<\/p><p>\{"state":"closed"/);
    assert.match(seen, /<notification-bell src="\/notifications" (share="" class="mine"|class="mine" share="")>/);
  });
}

test("the React of the pages is the pinned one", async () => {
  assert.equal(await readFile(VENDORED, "utf8"), await bundle());
});

test("the demo follows a channel over one connection, tells refusals, and rings", async (t) => {
  const hub = await startHub(t);
  const context = await openBrowser(t);
  const page = await openPage(t, context, `${hub.url}/demo/react`);
  await page.waitForSelector('.state[data-state="open"]');
  await page.locator("#subscribers", { hasText: /^1$/ }).waitFor();
  await page.getByRole("button", { name: "Publish" }).click();
  for (const id of ["newest", "orders"]) await page.locator(`#${id}`, { hasText: '"cups": 2' }).waitFor();
  await page.getByRole("button", { name: "Notify" }).click();
  await page.getByRole("button", { name: "Notifications, 1 unread" }).click();
  await page.getByRole("button", { name: "Your tea is ready" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByLabel("Channel").fill("a//b");
  await page.getByRole("button", { name: "Subscribe" }).click();
  await page.getByRole("alert").filter({ hasText: "empty segment" }).waitFor();
  await page.getByLabel("Channel").fill("a");
  await page.getByRole("button", { name: "Subscribe" }).click();
  await page.waitForSelector('.state[data-state="open"]');
});
