// The page at `/`, in a real browser, against the real binary.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./chromium.mjs";
import { publish, startHub } from "./hub.mjs";

let browser;

before(async () => {
  browser = await launch();
});

after(() => browser.close());

/** Opens the page, and fails the test on whatever the browser complains of. */
async function openPage(t, hub, path = "/") {
  const page = await browser.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    const isNetwork = message.text().startsWith("Failed to load resource") || message.text().includes("net::ERR_");
    if (message.type() === "error" && !isNetwork) complaints.push(message.text());
  });
  t.after(async () => {
    await page.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(hub.url + path);
  await state(page, "open");
  return page;
}

const state = (page, name) => page.waitForSelector(`#state[data-state="${name}"]`, { state: "attached" });

test("events appear as they come, the newest first", async (t) => {
  const hub = await startHub(t);
  const page = await openPage(t, hub);
  const { id } = await publish(hub, "demo", "<b>not markup</b>");
  await page.waitForSelector(`#events li[data-id="${id}"]`);
  await publish(hub, "demo/deeper", '{"a":[1,2]}', "event=notification");
  const newest = page.locator("#events li").first();
  await page.waitForSelector('#events li[data-type="notification"]');
  assert.equal(await newest.getAttribute("data-type"), "notification");
  assert.match(await newest.locator(".data").innerText(), /"a": \[\s+1,/);
  assert.equal(await page.locator("#events b").count(), 0);
});

test("the form publishes, with a type, and shows the id", async (t) => {
  const hub = await startHub(t);
  const page = await openPage(t, hub);
  await page.fill("#publish-type", "greeting");
  await page.fill("#publish-data", "it's me");
  assert.match(await page.innerText("#curl"), /curl .*it'\\''s me/s);
  await page.click("#publish");
  await page.waitForSelector('#events li[data-type="greeting"]');
  assert.match(await page.innerText("#published"), /\d+-\d+/);
  await page.fill("#publish-channel", "a//b");
  await page.click("#publish");
  await page.waitForFunction(() => document.querySelector("#published").innerText.includes("empty segment"));
});

test("patterns and several channels survive a reload", async (t) => {
  const hub = await startHub(t);
  const page = await openPage(t, hub);
  await page.fill("#channels", "orders/*, news");
  await page.click("#subscribe");
  await state(page, "open");
  await page.reload();
  await state(page, "open");
  for (const channel of ["orders/eu", "demo", "news"]) await publish(hub, channel, channel);
  await page.waitForFunction(() => document.querySelectorAll("#events li").length === 2);
  assert.deepEqual(await page.locator("#events li .data").allInnerTexts(), ["news", "orders/eu"]);
});

test("the browser comes back by itself after a restart of the hub", async (t) => {
  const hub = await startHub(t);
  const page = await openPage(t, hub);
  await publish(hub, "demo", "before");
  await page.waitForSelector("#events li");
  await hub.stop();
  await state(page, "waiting");
  const again = await startHub(t, { port: hub.port });
  await state(page, "open");
  await publish(again, "demo", "after");
  await page.waitForFunction(() => document.querySelector("#events li .data").innerText === "after");
  assert.equal(await page.locator('#events li[data-type="gap"]').count(), 1, "a forgetful journal says so");
});
