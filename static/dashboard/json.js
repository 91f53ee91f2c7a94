/**
 * JSON for people to read.
 * @module
 */

/** The longest text that is shown whole. */
const LONGEST = 200_000;

/** @param {string} text */
export const startsLikeJson = (text) => /^\s*[[{]/.test(text);

/**
 * What is wrong with a text as JSON, or "".
 *
 * @param {string} text
 */
export function problemOf(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return text.trim() ? String(error instanceof Error ? error.message : error) : "empty is no JSON";
  }
}

/**
 * A text as it is, or laid out if it is JSON.
 *
 * @param {string} data
 */
export function readable(data) {
  if (data.length > LONGEST) {
    return `${data.slice(0, LONGEST)}\n… and ${(data.length - LONGEST).toLocaleString()} more characters`;
  }
  return startsLikeJson(data) && !problemOf(data) ? layOut(data) : data;
}

/** Only moves white space: `JSON.stringify` would round large numbers. @param {string} json */
function layOut(json) {
  const token = /"(?:\\.|[^"\\])*"|\{\s*\}|\[\s*\]|[{}[\],:]|\s+/g;
  let depth = 0;
  const line = () => `\n${"  ".repeat(Math.min(depth, 20))}`;
  return json.replace(token, (part) => {
    if (part[0] === '"') return part;
    const mark = part.trim().replace(/\s+/g, "");
    if (mark === ",") return mark + line();
    if (mark === ":") return ": ";
    if (mark === "{" || mark === "[") return depth++, mark + line();
    if (mark === "}" || mark === "]") return depth--, line() + mark;
    return mark;
  });
}
