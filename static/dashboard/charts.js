/**
 * What the hub tells of itself once a second, drawn.
 * @module
 */

import { connect } from "../herald.js";
import { element, find, write } from "./dom.js";
import { currentToken, events } from "./hub.js";

/** How far back the charts go, in seconds. */
const SPAN = 300;
const [WIDTH, HEIGHT] = [300, 60];
const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {{ events: number, subscribers: number, latency: { p50: number, p99: number } | null }} Stats
 * @typedef {{ at: number, values: (number | null)[] }} Point
 */

class Chart {
  #figure;
  #now = element("strong", "now", "–");
  #lines;
  #area = shape("path", "area");
  #cursor = shape("path", "cursor");
  #most = element("span");
  /** @type {Point[]} */
  #points = [];
  #format;

  /**
   * @param {string} id
   * @param {(value: number) => string} format
   * @param {string[]} [keys] What each line is, if there are several.
   */
  constructor(id, format, keys = []) {
    this.#figure = find(id, HTMLElement);
    this.#format = format;
    this.#lines = (keys.length ? keys : [""]).map((_, index) => shape("path", index ? "line second" : "line"));
    const svg = shape("svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const grid = shape("path", "grid");
    grid.setAttribute("d", [0, HEIGHT / 2, HEIGHT].map((y) => `M0 ${y}H${WIDTH}`).join(""));
    svg.append(grid, this.#area, ...this.#lines.toReversed(), this.#cursor);
    const caption = this.#figure.querySelector("figcaption");
    keys.forEach((key, index) => caption?.append(" ",
      element("span", "key", element("span", index ? "swatch second" : "swatch"), key)));
    this.#figure.append(this.#now, svg, element("div", "scale", element("span", "", "5 min ago"), this.#most, element("span", "", "now")));
    svg.addEventListener("pointermove", (event) => this.#point(event.offsetX / svg.clientWidth));
    svg.addEventListener("pointerleave", () => this.#point(undefined));
  }

  /** @param {(number | null)[]} values */
  add(...values) {
    const at = Date.now();
    this.#points.push({ at, values });
    while (this.#points[0].at < at - SPAN * 1_000) this.#points.shift();
    this.#draw();
  }

  #draw() {
    const now = this.#points.at(-1)?.at ?? 0;
    const most = Math.max(...this.#points.flatMap(({ values }) => values.map((value) => value ?? 0)));
    const top = niceAbove(most);
    const x = (/** @type {number} */ at) => (WIDTH - ((now - at) / 1_000 / SPAN) * WIDTH).toFixed(1);
    const y = (/** @type {number} */ value) => (HEIGHT - (value / top) * HEIGHT).toFixed(1);
    this.#lines.forEach((line, index) => {
      let path = "";
      let pen = "M";
      for (const { at, values } of this.#points) {
        const value = values[index];
        // Where there is nothing to tell, there is no line.
        if (value !== null) path += `${pen}${x(at)} ${y(value)}`;
        pen = value === null ? "M" : "L";
      }
      line.setAttribute("d", path);
      if (!index && this.#lines.length === 1 && path) {
        this.#area.setAttribute("d", `${path}V${HEIGHT}H${x(this.#points[0].at)}Z`);
      }
    });
    write(this.#most, `top ${this.#format(top)}`);
    if (!this.#cursor.hasAttribute("d")) this.#tell(this.#points.at(-1));
  }

  /** @param {number | undefined} share Of the width. */
  #point(share) {
    if (share === undefined || !this.#points.length) {
      this.#cursor.removeAttribute("d");
      return this.#tell(this.#points.at(-1));
    }
    this.#cursor.setAttribute("d", `M${share * WIDTH} 0V${HEIGHT}`);
    const at = (this.#points.at(-1)?.at ?? 0) - (1 - share) * SPAN * 1_000;
    this.#tell(this.#points.find((point) => point.at >= at));
  }

  /** @param {Point | undefined} point */
  #tell(point) {
    const values = point?.values.map((value) => (value === null ? "–" : this.#format(value)));
    write(this.#now, values?.join(" · ") ?? "–");
  }
}

/**
 * @param {string} name
 * @param {string} [className]
 */
function shape(name, className = "") {
  const made = /** @type {SVGElement} */ (document.createElementNS(SVG, name));
  if (className) made.setAttribute("class", className);
  return made;
}

/** 1, 2 or 5 times a power of ten. @param {number} value */
function niceAbove(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

const count = (/** @type {number} */ value) => value.toLocaleString();
const milliseconds = (/** @type {number} */ value) => `${Number(value.toPrecision(2)).toLocaleString()} ms`;

const charts = {
  events: new Chart("chart-events", count),
  subscribers: new Chart("chart-subscribers", count),
  latency: new Chart("chart-latency", milliseconds, ["half within", "99 % within"]),
};
const problem = find("charts-problem", HTMLElement);

/** @type {import("../herald.js").Connection | undefined} */
let connection;

/** Asks for the figures, with the token of now. */
export function start() {
  connection?.close();
  const token = currentToken() || undefined;
  // Tabs with tokens may be of several users.
  const mine = (connection = connect(events, { channels: ["herald/stats"], token, share: !token }));
  mine.on("stats", ({ json }) => {
    const { events, subscribers, latency } = /** @type {Stats} */ (json);
    charts.events.add(events);
    charts.subscribers.add(subscribers);
    charts.latency.add(latency?.p50 ?? null, latency?.p99 ?? null);
  });
  mine.watch(() => {
    const isRefused = mine === connection && mine.state === "closed";
    problem.hidden = !isRefused;
    write(problem, isRefused ? `No charts: ${mine.error?.message ?? "the hub tells nothing of itself"}` : "");
  });
  problem.hidden = true;
}
