// What a page has to load.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const path = (name) => fileURLToPath(new URL(`../../static/${name}`, import.meta.url));
const gzipped = (content) => gzipSync(content, { level: 9 }).length;

test("the client without what tabs need to share is at most 4 KiB", async (t) => {
  const { outputFiles } = await build({ entryPoints: [path("herald.js")], bundle: true, minify: true, format: "esm",
    target: "es2022", external: ["./share.js"], write: false });
  const size = gzipped(outputFiles[0].contents);
  const served = ["herald.js", "stream.js", "event-stream.js", "share.js"].map((name) => [name, gzipped(readFileSync(path(name)))]);
  t.diagnostic(`${size} bytes minified; as served: ${served.map((pair) => pair.join(" ")).join(", ")}`);
  assert.ok(size <= 4_096, `${size} bytes`);
});
