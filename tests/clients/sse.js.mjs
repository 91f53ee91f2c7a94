// npm sse.js, in Chromium on a page of the hub's origin: it builds on XMLHttpRequest.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { launch } from "../browser/chromium.mjs";

const url = process.argv[2];
const library = await readFile(createRequire(import.meta.url).resolve("sse.js"), "utf8");
const browser = await launch();
const page = await browser.newPage();
await page.goto(new URL("/channels", url).href);
await page.exposeFunction("print", (event) => console.log(JSON.stringify(event)));
await page.addScriptTag({ type: "module", content: `${library}; window.SSE = SSE;` });
await page.evaluate((url) => {
  const source = new SSE(url, { autoReconnect: true });
  for (const type of ["message", "order", "gap"]) {
    source.addEventListener(type, ({ lastEventId, type, data }) => print({ id: lastEventId, event: type, data }));
  }
}, url);
