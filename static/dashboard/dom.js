/**
 * The page's elements.
 * @module
 */

/**
 * The element of that id, of the type that it must have.
 *
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function find(id, type) {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`the page has no ${type.name} #${id}`);
}

/**
 * A new element.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {string} [className]
 * @param {...(Node | string)} content
 */
export function element(name, className = "", ...content) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...content);
  return made;
}

/** Sets what only changes now and then: the same text again would still be work. @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Copies a text, and says so on the button.
 *
 * @param {HTMLButtonElement} button
 * @param {HTMLElement} source
 */
export async function copy(button, source) {
  try {
    await navigator.clipboard.writeText(source.textContent ?? "");
  } catch {
    // Only pages from https and localhost have a clipboard.
    getSelection()?.selectAllChildren(source);
    document.execCommand("copy");
  }
  write(button, "Copied");
  setTimeout(() => write(button, "Copy"), 1_500);
}
