// Shows what tests ask for: `show("one", readers)` renders components that use the hook.

import { createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { NotificationBell, useSSE } from "/static/react.js";

const roots = {};

/** Which token a component with this name gets. */
window.answer = () => "";

function Reader({ name, url, options }) {
  const { data, error, state, lastEventId } = useSSE(url, options);
  const attributes = { id: name, "data-state": state, "data-error": error?.message, "data-id": lastEventId };
  return createElement("output", attributes, data === undefined ? "" : JSON.stringify(data));
}

/** Renders anew, with objects and functions that no render before has seen. */
window.show = (root, readers, { asks } = {}) => {
  const elements = structuredClone(readers).map(({ name, url, ...options }) => {
    if (asks) options.getToken = () => window.answer(asks);
    return createElement(Reader, { key: name, name, url, options });
  });
  render(root, ...elements);
};

window.showBell = (props) => {
  const onSelect = ({ json }, event) => {
    event.preventDefault();
    window.selected = json;
  };
  render("one", createElement(NotificationBell, { ...props, onSelect }));
};

function render(root, ...elements) {
  roots[root] ??= createRoot(document.getElementById(root));
  roots[root].render(createElement(StrictMode, {}, ...elements));
}
