// Pages that subscribe with the client.

import { LONGEST } from "./until.mjs";

/** A page of the hub's own origin, on which nothing is. */
export async function openPage(t, context, url) {
  const page = await context.newPage();
  page.setDefaultTimeout(LONGEST);
  t.after(() => page.close().catch(() => {}));
  await page.goto(`${url}/nothing`);
  return page;
}

/** Subscribes in a page, which writes down what it meets. */
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

export async function publishAll(hub, channel, texts, headers = {}) {
  const body = texts.map((data) => JSON.stringify({ channel, data })).join("\n");
  const answer = await fetch(`${hub.url}/events`, { method: "POST", headers, body });
  if (answer.status !== 200) throw new Error(await answer.text());
}

export const numbers = (count, from = 0) => Array.from({ length: count }, (_, n) => `${from + n}`);
