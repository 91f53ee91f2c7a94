// Pages in a real browser, and what subscribes in them.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after } from "node:test";
import { launch } from "./chromium.mjs";
import { LONGEST } from "./until.mjs";

const chromium = await launch();
after(() => chromium.close());

/** A browser of its own for a test: what its pages share, they share with no other's. */
export async function openBrowser(t, options, parent = chromium) {
  const browser = await parent.newContext(options);
  browser.setDefaultTimeout(LONGEST);
  t.after(() => browser.close());
  return browser;
}

/** Opens a page, and fails the test on whatever the browser complains of. */
export async function openPage(t, browser, url) {
  const page = await browser.newPage();
  watch(t, page);
  await page.goto(url);
  return page;
}

/** A page at the hub's address, on which nothing is. */
export const openBlank = (t, browser, hub) => openPage(t, browser, `${hub.url}/nothing`);

/** Opens a page of ours at the hub's address: `/tests/` is the folder `pages`. */
export async function openOurs(t, browser, hub, name, headers = {}) {
  await browser.route(`${hub.url}/tests/*`, async (route) => {
    const { pathname } = new URL(route.request().url());
    const body = await readFile(new URL(`pages/${pathname.slice("/tests/".length)}`, import.meta.url), "utf8");
    const contentType = pathname.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8";
    await route.fulfill({ body, contentType, headers });
  });
  return openPage(t, browser, `${hub.url}/tests/${name}`);
}

function watch(t, page) {
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    const isNetwork = message.text().startsWith("Failed to load resource") || message.text().includes("net::ERR_");
    if (["error", "warning"].includes(message.type()) && !isNetwork) complaints.push(message.text());
  });
  t.after(async () => {
    await page.close();
    assert.deepEqual(complaints, []);
  });
}

/** Subscribes with the client in a page, which writes down what it meets. */
export async function subscribe(page, url, options = {}) {
  await page.evaluate(async ([url, options, home]) => {
    const { connect } = await import(`${home}/static/herald.js`);
    window.source = connect(url, options);
    window.log = { events: [], ids: [], states: [] };
    source.on("*", ({ type, data, lastEventId }) => {
      log.events.push(type === "message" ? data : type);
      log.ids.push(lastEventId);
    });
    source.watch(() => log.states.push(source.state));
  }, [url, options, new URL(page.url()).origin]);
  return {
    page,
    events: () => page.evaluate(() => log.events),
    states: () => page.evaluate(() => log.states),
    error: () => page.evaluate(() => source.error?.message),
    close: () => page.evaluate(() => source.close()),
    state: (state) => page.waitForFunction((state) => source.state === state, state, { polling: 20 }),
    received: (count) => page.waitForFunction((count) => log.events.length >= count, count, { polling: 20 }),
    has: (text) => page.waitForFunction((text) => log.events.includes(text), text, { polling: 20 }),
  };
}
