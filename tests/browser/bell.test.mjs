// `static/bell.js` in a real browser, against the real binary, under the policy of the hub's own pages.

import assert from "node:assert/strict";
import { test } from "node:test";
import { violations } from "./axe.mjs";
import { notify, publish, startHub, subscribers as count } from "./hub.mjs";
import { openBrowser, openOurs } from "./pages.mjs";
import { KEY, token } from "./token.mjs";
import { until } from "./until.mjs";

async function openBell(t, hub, context) {
  const { headers } = await fetch(hub.url);
  const policy = { "Content-Security-Policy": headers.get("Content-Security-Policy") };
  const page = await openOurs(t, context ?? (await openBrowser(t)), hub, "bell.html", policy);
  await page.locator("notification-bell .bell").waitFor();
  return page;
}

const burst = (hub, length) =>
  fetch(`${hub.url}/events`, {
    method: "POST",
    body: JSON.stringify(Array.from({ length }, (_, i) =>
      ({ channel: "notifications", event: "notification", data: JSON.stringify({ title: `number ${i + 1}` }) }))),
    headers: { "Content-Type": "application/json" },
  });

const subscribers = (hub) => count(hub, "notifications");

/** Resolves when the button says so. */
const label = (page, name) => page.getByRole("button", { name, exact: true }).waitFor();
const titles = (page) => page.locator(".item .title").allInnerTexts();
/** The id, or the title, of what has the focus. */
const focused = (page) => page.evaluate(() => {
  const inner = document.activeElement.shadowRoot?.activeElement ?? document.activeElement;
  return inner.querySelector(".title")?.textContent ?? (inner.id || inner.className);
});

test("it counts what is unread, and lists the newest first", async (t) => {
  const hub = await startHub(t);
  await notify(hub, { title: "tea", body: "two cups", url: "/" });
  const page = await openBell(t, hub);
  await label(page, "Notifications, 1 unread");
  await notify(hub, "a text");
  await label(page, "Notifications, 2 unread");
  assert.equal(await page.innerText(".badge"), "2");
  assert.equal(await page.isVisible(".panel"), false);
  await page.click("notification-bell");
  assert.deepEqual(await titles(page), ["a text", "tea"]);
  assert.equal(await page.innerText(".body"), "two cups");
  assert.equal(await page.locator("time").first().innerText(), "now");
  assert.equal(await page.getByRole("list", { name: "Notifications" }).getByRole("listitem").count(), 2);
});

test("it says when there is nothing", async (t) => {
  const hub = await startHub(t);
  const page = await openBell(t, hub);
  await label(page, "Notifications");
  await page.click("notification-bell");
  await page.getByText("Nothing new").waitFor();
  assert.equal(await page.isVisible(".badge"), false);
  assert.equal(await focused(page), "panel");
  await notify(hub, "the first");
  await page.getByRole("button", { name: "the first" }).waitFor();
  assert.equal(await page.isVisible(".empty"), false);
});

test("of very many it lists fifty, counts to 99+, and announces them in one sentence", async (t) => {
  const hub = await startHub(t);
  const page = await openBell(t, hub);
  await page.evaluate(() => {
    const live = document.querySelector("notification-bell").shadowRoot.querySelector("[aria-live=polite]");
    window.said = [];
    new MutationObserver(() => window.said.push(live.textContent)).observe(live, { childList: true, subtree: true });
  });
  await until(async () => (await subscribers(hub)) === 1);
  await burst(hub, 120);
  await label(page, "Notifications, 120 unread");
  assert.equal(await page.innerText(".badge"), "99+");
  await page.waitForFunction(() => window.said.length);
  await notify(hub, { title: "one more" });
  await page.waitForFunction(() => window.said.length === 2);
  assert.deepEqual(await page.evaluate(() => window.said), ["120 new notifications", "New notification: one more"]);
  await page.click("notification-bell");
  assert.equal(await page.locator(".item").count(), 50);
  await page.getByText("Not shown: 71 older unread").waitFor();
  await page.getByRole("button", { name: "Mark all as read" }).click();
  await label(page, "Notifications");
  assert.equal(await page.isVisible(".more"), false);
  assert.equal(await focused(page), "one more", "the focus does not fall out of the panel");
});

test("the keyboard opens it, moves about, closes it and leaves", async (t) => {
  const hub = await startHub(t);
  await burst(hub, 3);
  const page = await openBell(t, hub);
  await label(page, "Notifications, 3 unread");
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const isOpen = () => page.isVisible(".panel");
  for (const key of ["Enter", "Space", "ArrowDown"]) {
    await page.focus("notification-bell .bell");
    await press(key);
    assert.equal(await focused(page), "number 3", key);
    assert.equal(await page.getAttribute(".bell", "aria-expanded"), "true");
    await press("Escape");
    assert.equal(await isOpen(), false);
    assert.equal(await focused(page), "bell");
    assert.equal(await page.getAttribute(".bell", "aria-expanded"), "false");
  }
  await press("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown");
  assert.equal(await focused(page), "number 1");
  await press("Home");
  assert.equal(await focused(page), "number 3");
  await press("End", "ArrowUp");
  assert.equal(await focused(page), "number 2");
  await press("Enter");
  await label(page, "Notifications, 2 unread");
  assert.equal(await focused(page), "number 2");
  await press("Shift+Tab");
  assert.equal(await focused(page), "all");
  await press("Tab");
  assert.equal(await focused(page), "number 2");
  await press("Tab");
  assert.equal(await focused(page), "after");
  assert.equal(await isOpen(), false);
  await press("Shift+Tab", "Enter", "Shift+Tab", "Shift+Tab", "Shift+Tab");
  assert.equal(await focused(page), "before");
  assert.equal(await isOpen(), false);
});

test("a click elsewhere closes it, and one on the bell", async (t) => {
  const hub = await startHub(t);
  const page = await openBell(t, hub);
  await page.click("notification-bell");
  await page.click("h1");
  await page.waitForSelector(".panel", { state: "hidden" });
  await page.click("notification-bell");
  await page.waitForSelector(".panel");
  await page.click("notification-bell .bell");
  await page.waitForSelector(".panel", { state: "hidden" });
});

test("what is read stays so over a reload, in other tabs, and for this user", async (t) => {
  const hub = await startHub(t);
  await burst(hub, 3);
  const context = await openBrowser(t);
  const page = await openBell(t, hub, context);
  const other = await openBell(t, hub, context);
  await label(other, "Notifications, 3 unread");
  await page.click("notification-bell");
  await page.getByRole("button", { name: "number 2" }).click();
  for (const tab of [page, other]) await label(tab, "Notifications, 2 unread");
  await page.reload();
  await label(page, "Notifications, 2 unread");
  await other.click("notification-bell");
  assert.deepEqual(await other.locator(".item.unread .title").allInnerTexts(), ["number 3", "number 1"]);
  await other.evaluate(() => document.querySelector("notification-bell").setAttribute("user", "8"));
  await label(other, "Notifications, 3 unread");
  await label(page, "Notifications, 2 unread");
  const key = `herald-bell:${hub.url}/notifications:7`;
  assert.equal(await page.evaluate((key) => JSON.parse(localStorage.getItem(key)).length, key), 1);
});

test("without a storage it remembers as long as the page is there", async (t) => {
  const hub = await startHub(t);
  await burst(hub, 2);
  const context = await openBrowser(t);
  await context.addInitScript(() =>
    Object.defineProperty(window, "localStorage", { get() { throw new DOMException("no", "SecurityError"); } }));
  const page = await openBell(t, hub, context);
  await page.click("notification-bell");
  await page.getByRole("button", { name: "number 2" }).click();
  await label(page, "Notifications, 1 unread");
});

test("a click tells the page, and goes to the URL unless that is prevented", async (t) => {
  const hub = await startHub(t);
  const id = await notify(hub, { title: "tea", url: "../channels" });
  const page = await openBell(t, hub);
  await page.evaluate(() => {
    window.tell = (event) => {
      event.preventDefault();
      window.selected = event.detail;
    };
    document.body.addEventListener("notification-select", window.tell);
  });
  await page.click("notification-bell");
  await page.click(".item");
  const data = '{"title":"tea","url":"../channels"}';
  assert.deepEqual(await page.evaluate(() => window.selected), { id, type: "notification", data, json: JSON.parse(data) });
  assert.equal(await page.isVisible(".panel"), false);
  assert.equal(await focused(page), "bell");
  assert.equal(new URL(page.url()).pathname, "/tests/bell.html");
  await page.evaluate(() => document.body.removeEventListener("notification-select", window.tell));
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${hub.url}/channels`);
});

test("it follows no URL that runs a script, and shows markup as text", async (t) => {
  const hub = await startHub(t);
  const urls = ["javascript:window.hurt=1", " java\nscript:window.hurt=1", "data:text/html,x", "blob:x", "file:///etc", "http://[", 7];
  for (const url of urls) await notify(hub, { title: `<img src=x onerror="window.hurt=1">`, body: "<b>b</b>", url });
  const page = await openBell(t, hub);
  await label(page, `Notifications, ${urls.length} unread`);
  await page.click("notification-bell");
  for (const item of await page.locator(".item").all()) {
    assert.equal(await item.locator(".title").innerText(), `<img src=x onerror="window.hurt=1">`);
    assert.equal(await item.locator(".body").innerText(), "<b>b</b>");
    await item.click();
  }
  await label(page, "Notifications");
  assert.equal(new URL(page.url()).pathname, "/tests/bell.html");
  assert.equal(await page.locator("notification-bell").locator("img, b, a").count(), 0);
  assert.equal(await page.evaluate(() => window.hurt), undefined);
});

test("whatever comes, it is shown", async (t) => {
  const hub = await startHub(t);
  const payloads = ["", "null", "7", "[]", "{}", "{", '{"title":{}}', '{"body":"b"}', '{"title":null,"body":["x"]}',
    '"a string"', JSON.stringify({ title: "x".repeat(100_000) })];
  for (const payload of payloads) await notify(hub, payload);
  const page = await openBell(t, hub);
  await label(page, `Notifications, ${payloads.length} unread`);
  await page.click("notification-bell");
  const shown = (await titles(page)).reverse();
  assert.deepEqual(shown.slice(0, -1), ["Notification", "null", "7", "[]", "{}", "{", '{"title":{}}', "b",
    '{"title":null,"body":["x"]}', "a string"]);
  assert.equal(shown.at(-1).length, 501);
});

test("it says why there is no connection, and reconnects with a token", async (t) => {
  const hub = await startHub(t, { flags: ["--jwt-key", KEY] });
  const page = await openBell(t, hub);
  await page.click("notification-bell");
  await page.getByText("Not connected: ").waitFor();
  const use = (token) =>
    page.evaluate((token) => document.querySelector("notification-bell").setAttribute("token", token), token);
  await use("none");
  await page.locator(".note", { hasText: "the token is no JWT" }).waitFor();
  await use(token({ subscribe: ["notifications"] }));
  await page.waitForSelector(".note", { state: "hidden" });
  assert.equal(await page.isVisible(".panel"), true);
});

test("it goes on after a restart of the hub, and says what is missing", async (t) => {
  const hub = await startHub(t);
  const page = await openBell(t, hub);
  await notify(hub, "before");
  await label(page, "Notifications, 1 unread");
  await hub.stop();
  await page.click("notification-bell");
  await page.getByText("Connection lost, trying again: ").waitFor();
  const again = await startHub(t, { port: hub.port });
  await page.waitForSelector(".note", { state: "hidden" });
  await notify(again, "after");
  await label(page, "Notifications, 2 unread");
  assert.deepEqual(await titles(page), ["after", "before"]);
  await page.getByText("Not shown: some are missing").waitFor();
});

test("another source is another list, and without a place on the page it has no connection", async (t) => {
  const hub = await startHub(t);
  await notify(hub, "here");
  await publish(hub, "mine", "mine");
  const page = await openBell(t, hub);
  await label(page, "Notifications, 1 unread");
  const bell = (act) => page.evaluate(act);
  await bell(() => document.querySelector("notification-bell").setAttribute("src", "../events/mine?last=5"));
  await bell(() => document.querySelector("notification-bell").setAttribute("label", "Mine"));
  await label(page, "Mine, 1 unread");
  await until(async () => (await subscribers(hub)) === 0);
  await page.click("notification-bell");
  assert.deepEqual(await titles(page), ["mine"]);
  await bell(() => {
    window.bell = document.querySelector("notification-bell");
    window.bell.setAttribute("src", "/notifications");
  });
  await until(async () => (await subscribers(hub)) === 1);
  await bell(() => window.bell.remove());
  await until(async () => (await subscribers(hub)) === 0);
  await bell(() => document.body.append(window.bell));
  await until(async () => (await subscribers(hub)) === 1);
});

test("tabs that share have one connection, and all of them ring", async (t) => {
  const hub = await startHub(t);
  const context = await openBrowser(t);
  const tabs = [await openBell(t, hub, context), await openBell(t, hub, context)];
  await until(async () => (await subscribers(hub)) === 2);
  for (const tab of tabs) await tab.evaluate(() => document.querySelector("notification-bell").toggleAttribute("share"));
  await until(async () => (await subscribers(hub)) === 1);
  await notify(hub, "to all");
  for (const tab of tabs) await label(tab, "Notifications, 1 unread");
});

test("a getToken that was there before the element is asked", async (t) => {
  const hub = await startHub(t);
  const context = await openBrowser(t);
  await context.addInitScript(() => document.addEventListener("readystatechange", () => {
    const bell = document.querySelector("notification-bell");
    if (bell && !customElements.get("notification-bell")) bell.getToken = async () => "from before";
  }));
  const asked = context.waitForEvent("request", (request) => request.url().includes("/notifications"));
  await openBell(t, hub, context);
  assert.equal((await asked).headers().authorization, "Bearer from before");
  assert.equal(new URL((await asked).url()).search, "?last=50");
});

for (const colorScheme of ["light", "dark"]) {
  test(`nothing is in the way of anybody, in ${colorScheme} colours`, async (t) => {
    const hub = await startHub(t);
    await notify(hub, { title: "a link", body: "with a text", url: "/" });
    await notify(hub, "read");
    const page = await openBell(t, hub, await openBrowser(t, { colorScheme, reducedMotion: "reduce" }));
    await label(page, "Notifications, 2 unread");
    await page.click("notification-bell");
    await page.getByRole("button", { name: "read" }).first().click();
    assert.deepEqual(await violations(page), []);
  });
}

test("a page gives it colours of its own, by names of its own", async (t) => {
  const hub = await startHub(t);
  await notify(hub, "a text");
  const page = await openBell(t, hub);
  await page.evaluate(() => {
    document.documentElement.style.setProperty("--accent", "rgb(1, 2, 3)");
    document.querySelector("notification-bell").style.setProperty("--herald-bell-accent", "var(--accent)");
  });
  await page.click("notification-bell");
  assert.equal(await page.locator(".all").evaluate((all) => getComputedStyle(all).color), "rgb(1, 2, 3)");
});

test("on a phone it is large enough for a finger, and stays on the screen", async (t) => {
  const hub = await startHub(t);
  await notify(hub, { title: "a title", body: "a text" });
  const viewport = { width: 360, height: 640 };
  const page = await openBell(t, hub, await openBrowser(t, { viewport, hasTouch: true, isMobile: true }));
  await label(page, "Notifications, 1 unread");
  await page.tap("notification-bell");
  for (const part of [".bell", ".all", ".item"]) {
    const { width, height } = await page.locator(part).boundingBox();
    assert.ok(width >= 44 && height >= 44, `${part} is ${width} by ${height}`);
  }
  const { x, width } = await page.locator(".panel").boundingBox();
  assert.ok(x >= 0 && x + width <= viewport.width, `from ${x}, ${width} wide`);
});

test("a server can load it", async () => {
  const { NotificationBellElement } = await import("../../static/bell.js");
  assert.equal(typeof NotificationBellElement, "function");
});
