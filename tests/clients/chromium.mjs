// Chromium's own EventSource, on a page of the hub's origin.

import { launch } from "../browser/chromium.mjs";

const url = process.argv[2];
const browser = await launch();
const page = await browser.newPage();
await page.goto(new URL("/channels", url).href);
await page.exposeFunction("print", (event) => console.log(JSON.stringify(event)));
await page.evaluate((url) => {
  const source = new EventSource(url);
  for (const type of ["message", "order", "gap"]) {
    source.addEventListener(type, ({ lastEventId, type, data }) => print({ id: lastEventId, event: type, data }));
  }
}, url);
