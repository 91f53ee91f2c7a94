// Chromium's own EventSource, on a page of the hub's origin.

import { chromium } from "playwright-core";

const url = process.argv[2];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage();
await page.goto(new URL("/channels", url).href);
await page.exposeFunction("print", (event) => console.log(JSON.stringify(event)));
await page.evaluate((url) => {
  const source = new EventSource(url);
  for (const type of ["message", "order", "gap"]) {
    source.addEventListener(type, ({ lastEventId, type, data }) => print({ id: lastEventId, event: type, data }));
  }
}, url);
