/**
 * The page's subscription: what to subscribe to, and how the connection does.
 * @module
 */

import { connect } from "../herald.js";
import { find, write } from "./dom.js";
import { currentToken, events } from "./hub.js";
import * as log from "./log.js";

/** @typedef {import("../herald.js").Connection} Connection */

const STATES = { connecting: "connecting", open: "open", waiting: "reconnecting", closed: "closed" };

const state = find("state", HTMLElement);
const problem = find("problem", HTMLElement);

/** @type {Connection | undefined} */
let connection;

/**
 * Subscribes to other channels than before.
 *
 * @param {string[]} channels
 */
export function subscribe(channels) {
  connection?.close();
  const mine = (connection = connect(events, { channels, token: currentToken() || undefined }));
  let [received, opened, gaps] = [0, 0, 0];
  let was = mine.state;
  const show = () => {
    if (mine !== connection) return;
    if (mine.state === "open" && was !== "open") opened += 1;
    was = mine.state;
    state.dataset.state = was;
    write(state, STATES[was]);
    write(problem, mine.error?.message ?? "");
    write(find("received", HTMLElement), received.toLocaleString());
    write(find("reconnects", HTMLElement), String(Math.max(opened - 1, 0)));
    write(find("gaps", HTMLElement), String(gaps));
  };
  mine.watch(show);
  // As often as anybody can read.
  const timer = setInterval(show, 250);
  log.reset(`Nothing yet on ${channels.join(", ")}`);
  show();
  (async () => {
    try {
      for await (const event of mine) {
        await log.room();
        if (mine !== connection) break;
        received += 1;
        if (event.type === "gap") gaps += 1;
        log.take(event);
      }
    } catch {
      // Shown already.
    } finally {
      clearInterval(timer);
      show();
    }
  })();
}
