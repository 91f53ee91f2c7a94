// Pages in a real browser, at the hub's own address.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

/** Opens a page of the hub, and fails the test on whatever the browser complains of. */
export async function openPage(t, context, url) {
  const page = await context.newPage();
  watch(t, page);
  await page.goto(url);
  return page;
}

/** Opens a page of ours at the hub's address: `/tests/` is the folder `pages`. */
export async function openOurs(t, context, hub, name, headers = {}) {
  await context.route(`${hub.url}/tests/*`, async (route) => {
    const { pathname } = new URL(route.request().url());
    const body = await readFile(new URL(`pages/${pathname.slice("/tests/".length)}`, import.meta.url), "utf8");
    const contentType = pathname.endsWith(".js") ? "text/javascript" : "text/html; charset=utf-8";
    await route.fulfill({ body, contentType, headers });
  });
  return openPage(t, context, `${hub.url}/tests/${name}`);
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
