// The dashboard at `/`, in a real browser, against the real binary.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { violations } from "./axe.mjs";
import { numbers, publish, publishAll, startHub } from "./hub.mjs";
import { openBrowser, openPage } from "./pages.mjs";
import { KEY, token } from "./token.mjs";

async function openDashboard(t, hub, { path = "/", waitFor = "open", ...options } = {}) {
  const page = await openPage(t, await openBrowser(t, options), hub.url + path);
  await state(page, waitFor);
  return page;
}

const state = (page, name) => page.waitForSelector(`#state[data-state="${name}"]`, { state: "attached" });
/** What the rows in view say, the newest first. */
const texts = (page, part = "data") =>
  page.$$eval(`.row:not([hidden]) .${part}`, (parts) => parts
    .map((part) => [new DOMMatrix(getComputedStyle(part.parentElement).transform).f, part.textContent])
    .sort(([a], [b]) => a - b).map(([, text]) => text));
const row = (page, text) => page.locator(".row", { hasText: text });
const text = (page, id, pattern) => page.waitForFunction(
  ([id, source]) => new RegExp(source).test(document.getElementById(id).textContent), [id, pattern.source]);
const number = async (page, id) => Number((await page.innerText(`#${id}`)).replace(/\D/g, ""));

test("events appear as they come, with their channels, the newest first", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await publish(hub, "demo", "<b>not markup</b>");
  const { id } = await publish(hub, "demo/deeper", '{"a":[1,2]}', "event=order");
  await page.waitForSelector(`.row[data-id="${id}"]`);
  assert.deepEqual(await texts(page), ['{"a":[1,2]}', "<b>not markup</b>"]);
  assert.deepEqual(await texts(page, "type"), ["order", "message"]);
  assert.deepEqual(await texts(page, "channel"), ["demo/deeper", "demo"]);
  assert.equal(await page.locator("#rows b").count(), 0);
});

test("a selected event is shown whole, by mouse and by keyboard", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await publish(hub, "demo", '{"number":12345678901234567890}');
  await publish(hub, "demo", "second");
  await row(page, "second").waitFor();
  await row(page, "number").click();
  assert.equal(await page.innerText("#data"), '{\n  "number": 12345678901234567890\n}');
  await page.keyboard.press("ArrowUp");
  assert.equal(await page.innerText("#data"), "second");
  await page.waitForFunction(() => {
    const active = document.getElementById("scroller").getAttribute("aria-activedescendant");
    const selected = document.querySelector('.row[aria-selected="true"] .data');
    return selected?.textContent === "second" && selected.parentElement.id === active;
  });
  await page.keyboard.press("Escape");
  assert.ok(await page.isHidden("#detail"));
});

test("a filter shows what matches, also of what came before", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await publishAll(hub, "demo", ["apples", "pears", "more apples"]);
  await row(page, "more apples").waitFor();
  await page.fill("#filter", "APPLES");
  await page.waitForFunction(() => document.querySelectorAll(".row:not([hidden])").length === 2);
  await publishAll(hub, "demo", ["plums", "last apples"]);
  await row(page, "last apples").waitFor();
  assert.deepEqual(await texts(page), ["last apples", "more apples", "apples"]);
  await page.fill("#filter", "");
  await row(page, "plums").waitFor();
});

test("a paused log stands still, says what waits, and then shows all of it", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await publish(hub, "demo", "before");
  await row(page, "before").waitFor();
  await page.click("#pause");
  await publishAll(hub, "demo", ["one", "two", "three"]);
  await text(page, "pause", /Resume \(3\)/);
  assert.deepEqual(await texts(page), ["before"]);
  await page.click("#pause");
  await row(page, "three").waitFor();
  assert.deepEqual(await texts(page), ["three", "two", "one", "before"]);
  await page.click("#clear");
  await page.waitForSelector("#empty:visible");
});

test("a pause of any length loses nothing: what the page cannot hold stays with the hub", async (t) => {
  const hub = await startHub(t, { flags: ["--stall", "2s"] });
  const page = await openDashboard(t, hub);
  await page.click("#pause");
  const filler = "x".repeat(1_000);
  const total = 30_000;
  for (let first = 0; first < total; first += 1_000) {
    await publishAll(hub, "demo", Array.from({ length: 1_000 }, (_, n) => `${first + n} ${filler}`));
  }
  await text(page, "pause", /Resume \(10,000\)/);
  await page.click("#pause");
  await text(page, "received", new RegExp(total.toLocaleString("en")));
  await row(page, `${total - 1} x`).waitFor();
  assert.equal(await number(page, "gaps"), 0);
});

test("a log that stood still shows nothing of the channels of before", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await page.click("#pause");
  await publishAll(hub, "demo", numbers(14_000));
  await text(page, "pause", /Resume \(10,000\)/);
  await page.fill("#channels", "elsewhere");
  await page.click("#subscribe");
  await state(page, "open");
  await publish(hub, "elsewhere", "the only one");
  await text(page, "pause", /Resume \(1\)/);
  await page.click("#pause");
  await row(page, "the only one").waitFor();
  assert.deepEqual(await texts(page), ["the only one"]);
});

test("ten thousand events are kept, and who reads further down is not moved", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  for (let first = 0; first < 12_000; first += 1_000) {
    await publishAll(hub, "demo", Array.from({ length: 1_000 }, (_, n) => `number ${first + n}`));
  }
  await row(page, "number 11999").waitFor();
  await page.evaluate(() => { document.getElementById("scroller").scrollTop = 2_000; });
  const inView = () => page.evaluate(() => {
    const { left, top } = document.getElementById("scroller").getBoundingClientRect();
    return document.elementFromPoint(left + 20, top + 60).closest(".row").dataset.id;
  });
  await page.waitForFunction(() => document.querySelector(".row").style.transform !== "translateY(0px)");
  const before = await inView();
  await publishAll(hub, "demo", Array.from({ length: 500 }, () => "more"));
  await text(page, "received", /12,500/);
  await page.waitForFunction(() => document.getElementById("scroller").scrollTop > 10_000);
  assert.equal(await inView(), before);
  await page.focus("#scroller");
  await page.keyboard.press("End");
  await row(page, "number 2500").waitFor();
  assert.ok((await page.locator(".row").count()) < 100, "rows are there for what is in view only");
});

test("the page stays smooth at a thousand events a second", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await page.evaluate(() => {
    window.frames_ = [];
    const next = (at) => { frames_.push(at); requestAnimationFrame(next); };
    requestAnimationFrame(next);
  });
  /** What one pause in ten between frames exceeds, of those since the last time. */
  const tenth = async () => {
    const pauses = await page.evaluate(() => {
      const at = frames_.splice(0);
      return at.slice(1).map((time, index) => time - at[index]).sort((a, b) => b - a);
    });
    t.diagnostic(`frames ${pauses.length}, the longest pauses ${pauses.slice(0, 5).map(Math.round)} ms`);
    return pauses[Math.floor(pauses.length / 10)];
  };
  await page.waitForFunction(() => frames_.length > 100);
  const quiet = await tenth();
  const data = JSON.stringify({ order: 17, items: ["tea", "cups"], note: "x".repeat(150) });
  for (let sent = 0; sent < 5_000; sent += 50) {
    const next = new Promise((resolve) => setTimeout(resolve, 50));
    await publishAll(hub, "demo", Array(50).fill(data));
    await next;
  }
  await text(page, "received", /5,000/);
  const busy = await tenth();
  assert.ok(busy < 10 * quiet, `one frame of ten took longer than ${busy} ms; without events, than ${quiet} ms`);
});

test("the form publishes text and JSON, checks it as it is typed, and shows the command", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await page.fill("#publish-type", "greeting");
  await page.fill("#publish-id", "my-1");
  await page.fill("#publish-data", "it's me\n");
  await page.click("#publish");
  await page.waitForSelector('.row[data-id="my-1"][data-type="greeting"]');
  assert.match(await page.innerText("#published"), /my-1/);
  await page.fill("#publish-id", "");
  const command = await page.evaluate(() => document.getElementById("curl").textContent);
  execFileSync("sh", ["-c", `${command} -s`]);
  await page.waitForFunction(() => document.querySelectorAll('.row[data-type="greeting"]').length === 2);
  await row(page, "it's me").first().click();
  assert.equal(await page.evaluate(() => document.getElementById("data").textContent), "it's me\n");

  await page.fill("#publish-data", '{"a": 1}');
  assert.ok(await page.isChecked('[name="kind"][value="json"]'));
  await page.click('[name="kind"][value="json"]');
  await page.fill("#publish-data", '{"a": }');
  await page.waitForSelector("#data-problem.failed");
  assert.equal(await page.evaluate(() => document.getElementById("publish-data").checkValidity()), false);
  await page.fill("#publish-data", '{"a": 2}');
  await page.keyboard.press("Control+Enter");
  await row(page, '{"a":2}').waitFor();
  await page.fill("#publish-channel", "a//b");
  await page.click("#publish");
  await text(page, "published", /empty segment/);
});

test("patterns and several channels survive a reload, and going back", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await page.fill("#channels", "orders/*, news");
  await page.click("#subscribe");
  await page.reload();
  await state(page, "open");
  for (const channel of ["orders/eu", "demo", "news"]) await publish(hub, channel, channel);
  await row(page, "news").waitFor();
  assert.deepEqual(await texts(page), ["news", "orders/eu"]);
  await page.goBack();
  await state(page, "open");
  assert.equal(await page.inputValue("#channels"), "demo, demo/**");
});

test("the page comes back by itself after a restart of the hub, and tells of the gap", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  await publish(hub, "demo", "before");
  await row(page, "before").waitFor();
  await hub.stop();
  await state(page, "waiting");
  const again = await startHub(t, { port: hub.port });
  await state(page, "open");
  await publish(again, "demo", "hello again");
  await row(page, "hello again").waitFor();
  assert.deepEqual((await texts(page, "type")), ["message", "gap", "message"]);
  await page.waitForFunction(() => document.getElementById("gaps").textContent === "1");
  assert.ok((await number(page, "reconnects")) >= 1);
});

test("charts follow what the hub tells of itself", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  const now = (id) => page.innerText(`#chart-${id} .now`);
  await page.waitForFunction(() => document.querySelector("#chart-subscribers .now").textContent >= "1");
  const publishing = setInterval(() => publish(hub, "demo", "x").catch(() => {}), 20);
  t.after(() => clearInterval(publishing));
  await page.waitForFunction(() => parseInt(document.querySelector("#chart-events .now").textContent) > 10);
  await page.waitForFunction(() => /^[\d.]+ · [\d.]+ ms$/.test(document.querySelector("#chart-latency .now").textContent));
  assert.match(await now("subscribers"), /^\d+$/);
  await page.waitForFunction(() => /^M[\d.]+ [\d.]+(L[\d.]+ [\d.]+)+$/.test(
    document.querySelector("#chart-latency .line").getAttribute("d")));
  assert.ok(await page.isHidden("#charts-problem"));
});

test("channels are listed with their subscribers, and one click subscribes", async (t) => {
  const hub = await startHub(t);
  const page = await openDashboard(t, hub);
  const { id } = await publish(hub, "orders/eu", "x");
  await publish(hub, "other", "x");
  const channel = page.locator("#channel-rows tr", { hasText: "orders/eu" });
  await channel.waitFor();
  assert.match(await channel.innerText(), new RegExp(`orders/eu\\s+0\\s+${id}`));
  await page.fill("#prefix", "ord");
  await page.locator("#channel-rows tr", { hasText: "other" }).waitFor({ state: "detached" });
  await channel.getByRole("button").click();
  await page.waitForFunction(() => /orders\/eu\s*1/.test(document.getElementById("channel-rows").textContent));
  assert.equal(await page.evaluate(() => location.hash), "#orders/eu");
});

test("with tokens on, the page says what is missing, and works with what a token grants", async (t) => {
  const hub = await startHub(t, { flags: ["--jwt-key", KEY] });
  const page = await openDashboard(t, hub, { waitFor: "closed" });
  await text(page, "problem", /may not subscribe to "demo"; send a token/);
  await text(page, "charts-problem", /herald\/stats/);
  await text(page, "channels-note", /without a token/);
  await page.click("#publish");
  await text(page, "published", /may not publish to "demo"; send a token/);

  await page.fill("#token", token({ subscribe: ["demo", "demo/**"], publish: ["demo"] }));
  await page.click("#subscribe");
  await state(page, "open");
  await page.fill("#publish-data", "with a token");
  await page.click("#publish");
  await row(page, "with a token").waitFor();
  assert.match(await page.innerText("#curl"), /Bearer \$HERALD_TOKEN/);
  await text(page, "charts-problem", /may not subscribe to "herald\/stats"/);
  await page.locator("#channel-rows tr", { hasText: "demo" }).first().waitFor();
  await page.fill("#publish-channel", "orders");
  await page.click("#publish");
  await text(page, "published", /may not publish to "orders"/);

  await page.reload();
  await state(page, "open");
  await page.fill("#token", token({ subscribe: ["demo", "demo/**", "herald/stats"] }));
  await page.click("#subscribe");
  await page.waitForSelector("#charts-problem", { state: "hidden" });
});

test("a token in the address is taken, and out of sight", async (t) => {
  const hub = await startHub(t, { flags: ["--jwt-key", KEY] });
  const page = await openDashboard(t, hub, { path: `/?token=${token({ subscribe: ["news"] })}#news` });
  assert.equal(page.url(), `${hub.url}/#news`);
});

for (const [name, viewport] of [["a phone", { width: 360, height: 740 }], ["a desk", { width: 1360, height: 900 }]]) {
  test(`nothing is cut off, and nothing moves by itself, on ${name}`, async (t) => {
    const hub = await startHub(t);
    const page = await openDashboard(t, hub, { viewport });
    await page.evaluate(() => {
      window.shift = 0;
      new PerformanceObserver((list) => {
        for (const { value, hadRecentInput } of list.getEntries()) if (!hadRecentInput) shift += value;
      }).observe({ type: "layout-shift", buffered: true });
    });
    await publishAll(hub, `demo/${"long".repeat(50)}`, ["x".repeat(5_000), "y"]);
    await row(page, "y").waitFor();
    await page.locator("#channel-rows tr").first().waitFor();
    await page.waitForFunction(() => document.querySelector("#chart-subscribers .now").textContent >= "1");
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= viewport.width, `${width} pixels wide`);
    const overlaps = await page.$$eval(".chart", (charts) => charts.map((chart) => {
      const [words, now] = [document.createRange(), chart.querySelector(".now")];
      words.selectNodeContents(chart.querySelector("figcaption"));
      return words.getBoundingClientRect().right > now.getBoundingClientRect().left;
    }));
    assert.deepEqual(overlaps, [false, false, false]);
    const shift = await page.evaluate(() => window.shift);
    assert.ok(shift < 0.02, `shifted by ${shift}`);
  });
}

for (const colorScheme of ["light", "dark"]) {
  test(`texts have a contrast of 4.5 at least, ${colorScheme}`, async (t) => {
    const hub = await startHub(t);
    const page = await openDashboard(t, hub, { colorScheme });
    await publish(hub, "demo", "hello", "event=order");
    await row(page, "hello").waitFor();
    await row(page, "hello").click();
    const faint = await page.evaluate(faintTexts);
    assert.deepEqual(faint, []);
  });
}

for (const colorScheme of ["light", "dark"]) {
  test(`nothing is in the way of anybody, in ${colorScheme} colours`, async (t) => {
    const hub = await startHub(t);
    const page = await openDashboard(t, hub, { colorScheme, reducedMotion: "reduce" });
    assert.deepEqual(await violations(page), [], "without events");
    await publishAll(hub, "demo", ["first", '{"second":2}', "third"]);
    await row(page, "third").waitFor();
    await page.locator("#channel-rows tr").first().waitFor();
    assert.deepEqual(await violations(page), [], "with events");
    await row(page, "second").click();
    await page.waitForSelector("#detail:visible");
    assert.deepEqual(await violations(page), [], "with a selected one");
  });
}

/** In the page: texts whose contrast is below what WCAG 2.2 (1.4.3) asks for. */
function faintTexts() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    const behind = [];
    for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const [text, ground] = [[...behind, getComputedStyle(element).color], behind].map(paint).map(luminance);
    const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${node.textContent.trim()}`);
  }
  return faint;
}
