/**
 * Reading the format of event streams (WHATWG HTML 9.2.5 and 9.2.6).
 * @module
 */

/**
 * @typedef {object} Block An event as it came.
 * @property {string} type `message` if it has none of its own.
 * @property {string} data Its lines, joined by LF.
 * @property {string} id The id of its own, or "".
 * @property {string} lastEventId The stream's last id: this one's, or that of an event before.
 * @property {string[]} channels Those that a hub names when it is asked to (`show=channel`).
 *
 * @typedef {object} Reader Who is told what a stream says.
 * @property {(event: Block) => void} onEvent
 * @property {(lastEventId: string) => void} [onPosition] A block without data moved the last id.
 * @property {(milliseconds: number) => void} [onRetry] How long to wait before a reconnection.
 */

/**
 * Makes a parser. It takes a stream's text in pieces of any size, decoded and without a byte order
 * mark, as `TextDecoder` gives it.
 *
 * @param {Reader} reader
 * @param {string} [lastEventId] What the stream before ended with.
 * @returns {(text: string) => void}
 */
export function createParser({ onEvent, onPosition, onRetry }, lastEventId = "") {
  let line = "";
  let mayBeCrLf = false;
  /** @type {string[]} */
  let data = [];
  let type = "";
  /** @type {string | undefined} */
  let id;
  /** @type {string[]} */
  let channels = [];

  function take() {
    if (!line) return dispatch();
    const colon = line.indexOf(":");
    const [field, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1)];
    const text = value.startsWith(" ") ? value.slice(1) : value;
    if (field === "data") data.push(text);
    else if (field === "event") type = text;
    else if (field === "id" && !text.includes("\0")) id = text;
    else if (field === "channel") channels.push(text);
    else if (field === "retry" && /^\d+$/.test(text)) onRetry?.(Number(text));
  }

  function dispatch() {
    const hasMoved = id !== undefined && id !== lastEventId;
    lastEventId = id ?? lastEventId;
    if (data.length) {
      onEvent({ type: type || "message", data: data.join("\n"), id: id ?? "", lastEventId, channels });
    } else if (hasMoved) onPosition?.(lastEventId);
    [data, type, id, channels] = [[], "", undefined, []];
  }

  return (text) => {
    let start = mayBeCrLf && text[0] === "\n" ? 1 : 0;
    if (text) mayBeCrLf = text.endsWith("\r");
    const lineEnd = /\r\n?|\n/g;
    lineEnd.lastIndex = start;
    for (let end; (end = lineEnd.exec(text)); start = lineEnd.lastIndex) {
      line += text.slice(start, end.index);
      take();
      line = "";
    }
    line += text.slice(start);
  };
}
