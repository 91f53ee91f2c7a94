// The format of event streams: web-platform-tests' eventsource/format-* and a second opinion.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createParser as createOther } from "eventsource-parser";
import { createParser } from "../../static/event-stream.js";

/** What a stream says: its events, as [type, data, last event id], and its waits. */
function read(pieces, lastEventId) {
  const said = { events: [], retries: [], positions: [] };
  const parse = createParser({
    onEvent: ({ type, data, lastEventId }) => said.events.push([type, data, lastEventId]),
    onRetry: (milliseconds) => said.retries.push(milliseconds),
    onPosition: (id) => said.positions.push(id),
  }, lastEventId);
  const decoder = new TextDecoder();
  for (const piece of pieces) parse(decoder.decode(piece, { stream: true }));
  return said;
}

const messages = (...texts) => texts.map((text) => ["message", text, ""]);
const long = "x".repeat(2_000);

/** By the names of the files in web-platform-tests. */
const CASES = {
  "format-bom": ["\uFEFFdata:1\n\ndata:2\n\ndata:3\n\n", messages("1", "2", "3")],
  "format-bom-2": ["\uFEFF\uFEFFdata:1\n\ndata:2\n\ndata:3\n\n", messages("2", "3")],
  "format-comments": [`data:1\r:\0\n:\r\ndata:2\n:${long}\rdata:3\n:data:fail\r:${long}\ndata:4\n\n`, messages("1\n2\n3\n4")],
  "format-data-before-final-empty-line": ["retry:1000\ndata:test1\n\nid:test\ndata:test2", messages("test1"), [1_000]],
  "format-field-data": ["data:\n\ndata\ndata\n\ndata:test\n\n", messages("", "\n", "test")],
  "format-field-event": ["event:test\ndata:x\n\ndata:x\n\n", [["test", "x", ""], ["message", "x", ""]]],
  "format-field-event-empty": ["event: \ndata:data\n\n", messages("data")],
  "format-field-id": ["id: …\ndata: x\n\ndata: y\n\n", [["message", "x", "…"], ["message", "y", "…"]]],
  "format-field-id-2": ["id: 1\ndata: 1\n\nid\ndata: 2\n\ndata: 3\n\n",
    [["message", "1", "1"], ["message", "2", ""], ["message", "3", ""]]],
  "format-field-id-3": ["id: 1\n\ndata: 1\n\nid:2\ndata: 2\n\n", [["message", "1", "1"], ["message", "2", "2"]]],
  "format-field-id-null": ["id: \0\0\ndata: 1\n\nid: 5\0\ndata: 2\n\n", messages("1", "2")],
  "format-field-parsing": ["data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
    messages("\0\n 2\n1\n3\n\n4")],
  "format-field-retry": ["retry:03000\ndata:x\n\n", messages("x"), [3_000]],
  "format-field-retry-bogus": ["retry:3000\nretry:1000x\nretry:-1\nretry:1.5\nretry:٣\ndata:x\n\n", messages("x"), [3_000]],
  "format-field-retry-empty": ["retry\nretry:\ndata:test\n\n", messages("test")],
  "format-field-unknown": ["data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n", messages("test\n\ntest")],
  "format-leading-space": ["data:\ttest\rdata: \ndata:test\n\n", messages("\ttest\n\ntest")],
  "format-newlines": ["data:test\r\ndata\ndata:test\r\n\r", messages("test\n\ntest")],
  "format-null-character": ["data:\0\n\n\n\n", messages("\0")],
  "format-utf-8": ["data:ok…\n\n", messages("ok…")],
};

const bytes = (text) => new TextEncoder().encode(text);
const splits = (whole) => Array.from(whole, (_, at) => [whole.slice(0, at), whole.slice(at)]);

for (const [name, [text, events, retries = []]] of Object.entries(CASES)) {
  test(`${name}, whole, byte by byte and in two at every place`, () => {
    const whole = bytes(text);
    for (const pieces of [[whole], Array.from(whole, (byte) => Uint8Array.of(byte)), ...splits(whole)]) {
      const said = read(pieces);
      assert.deepEqual([said.events, said.retries], [events, retries], pieces.map(String).join(" | "));
    }
  });
}

test("bytes that are no UTF-8 are replaced, and end nothing", () => {
  const stream = Uint8Array.of(...bytes("data:a"), 0xe2, 0x82, ...bytes("b\n\ndata:c\n\n"));
  for (const pieces of [[stream], Array.from(stream, (byte) => Uint8Array.of(byte))]) {
    assert.deepEqual(read(pieces).events, messages("a\uFFFDb", "c"));
  }
});

test("an id without data is a position, told once", () => {
  const stream = ": herald\nretry: 2000\nid: 7-0\n\nid: 7-0\n\nid: 7-1\ndata: x\n\nid: 7-2\n\nid: 7-3\n";
  const said = read([bytes(stream)], "6-0");
  assert.deepEqual(said.positions, ["7-0", "7-2"]);
  assert.deepEqual(said.events, [["message", "x", "7-1"]]);
  assert.deepEqual(read([bytes("id: 7-0\n\n")], "7-0").positions, [], "where it was already");
});

test("a stream goes on from the id of the one before", () => {
  assert.deepEqual(read([bytes("data: x\n\n")], "4-2").events, [["message", "x", "4-2"]]);
});

test("an event tells its own id from the stream's last, and its channels", () => {
  const events = [];
  const parse = createParser({ onEvent: (event) => events.push(event) });
  parse("id: 1\nchannel: a\nchannel: b/c\ndata: x\n\ndata: y\n\n");
  assert.deepEqual(events.map(({ id, lastEventId, channels }) => [id, lastEventId, channels]),
    [["1", "1", ["a", "b/c"]], ["", "1", []]]);
});

/** The same numbers each time: mulberry32. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const WORDS = ["data", "event", "id", "retry", ":", ": ", " ", "a", "17", "é", "…", "😀", "\n", "\r\n", "\r", "\n\n", "data: x\n",
  "event: t\n", "id: 9\n", "\0", "\t", "data:\n\n", "channel: c\n", ":c\n"];

test("another parser says the same of 20,000 random streams", () => {
  const next = random(1);
  const pick = (list) => list[Math.floor(next() * list.length)];
  for (let round = 0; round < 20_000; round++) {
    // It, too, takes CR alone, but waits for what follows one at the end.
    const text = `${Array.from({ length: 1 + next() * 40 }, () => pick(WORDS)).join("")}\n\n:\n`;
    const other = { events: [], retries: [] };
    let last = "";
    const theirs = createOther({
      onEvent({ event = "message", data, id }) {
        // It leaves what an id means for the events after to its user.
        other.events.push([event || "message", data, id]);
      },
      onRetry: (milliseconds) => other.retries.push(milliseconds),
    });
    const ours = { events: [], retries: [] };
    const parse = createParser({
      onEvent({ type, data, id, lastEventId }) {
        ours.events.push([type, data, id || undefined]);
        last = id || last;
        if (id) assert.equal(lastEventId, last);
      },
      onRetry: (milliseconds) => ours.retries.push(milliseconds),
    });
    for (let rest = text; rest; ) {
      const length = 1 + Math.floor(next() * 8);
      parse(rest.slice(0, length));
      rest = rest.slice(length);
    }
    theirs.feed(text);
    other.events = other.events.map(([type, data, id]) => [type, data, id || undefined]);
    assert.deepEqual(ours, other, JSON.stringify(text));
  }
});

test("an event of a mebibyte in small pieces takes time in proportion", () => {
  const time = (size, piece) => {
    let length = 0;
    const parse = createParser({ onEvent: ({ data }) => (length += data.length) });
    const begin = performance.now();
    parse("data: ");
    const text = "x".repeat(piece);
    for (let sent = 0; sent < size; sent += piece) parse(text);
    parse("\n\n");
    assert.equal(length, size);
    return performance.now() - begin;
  };
  const best = (...args) => Math.min(...Array.from({ length: 5 }, () => time(...args)));
  time(2 ** 16, 16);
  const [quarter, whole] = [best(2 ** 18, 16), best(2 ** 20, 16)];
  assert.ok(whole < 12 * quarter + 20, `${quarter} ms for a quarter, ${whole} ms for the whole`);
  assert.ok(time(2 ** 20, 1) < 5_000);
});
