/**
 * How the bell looks. Every colour has a variable, which `bell.js` lists; those that begin with `--_`
 * are its own, as a page may have set the public ones from an `--accent` of the page's.
 * @module
 */

const CSS = `
:host {
  --_accent: var(--herald-bell-accent, light-dark(#3550c8, #9db2ff));
  --_badge: var(--herald-bell-badge, light-dark(#b42318, #ff8f80));
  --_on-badge: var(--herald-bell-on-badge, light-dark(#fff, #2b0b07));
  --_panel: var(--herald-bell-panel, light-dark(#fff, #181c23));
  --_text: var(--herald-bell-text, light-dark(#1b1f27, #e4e8ef));
  --_muted: var(--herald-bell-muted, light-dark(#596273, #9ba6b6));
  --_line: var(--herald-bell-line, light-dark(#e1e5ec, #2a303b));
  --_hover: var(--herald-bell-hover, light-dark(#f5f6f9, #202530));
  --_unread: var(--herald-bell-unread, light-dark(#eaeefc, #232b49));
  --_warn: var(--herald-bell-warn, light-dark(#8f5500, #e9b95c));
  --_warn-tint: var(--herald-bell-warn-tint, light-dark(#fff6e3, #2b2417));
  --_radius: var(--herald-bell-radius, 0.75rem);
  --_size: var(--herald-bell-size, 2.5rem);
  display: inline-block;
  position: relative;
  font: var(--herald-bell-font, 0.9375rem/1.5 system-ui, sans-serif);
  letter-spacing: normal;
  text-align: start;
  text-transform: none;
  white-space: normal;
}
:host([hidden]), [hidden] { display: none !important; }
*, ::before, ::after { box-sizing: border-box; }
h2, p, ul { margin: 0; padding: 0; list-style: none; font: inherit; }
button, a {
  font: inherit; color: inherit; text-align: inherit; text-decoration: none;
  background: none; border: 0; cursor: pointer; -webkit-tap-highlight-color: transparent;
}
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
.unseen {
  position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap;
}

.bell {
  display: grid; place-items: center; position: relative; padding: 0;
  width: var(--_size); height: var(--_size); border-radius: calc(var(--_size) * 0.25);
  color: var(--herald-bell-color, inherit);
}
.bell:hover, .bell[aria-expanded=true] { background: color-mix(in srgb, currentColor 10%, transparent); }
svg {
  width: 60%; height: 60%; fill: none; stroke: currentColor;
  stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round;
}
.bell.away svg { opacity: 0.55; }
.bell.away::after {
  content: ""; position: absolute; right: 12%; bottom: 12%; width: 0.625rem; height: 0.625rem;
  border: 2px solid var(--_panel); border-radius: 50%; background: var(--_warn);
}
.badge {
  position: absolute; top: -0.25rem; right: -0.25rem; min-width: 1.25rem; padding: 0 0.3125rem;
  font-size: 0.75rem; font-weight: 600; line-height: 1.25rem; text-align: center;
  font-variant-numeric: tabular-nums; color: var(--_on-badge); background: var(--_badge);
  border-radius: 0.625rem;
}

.panel {
  position: absolute; z-index: var(--herald-bell-layer, 1000); inset-block-start: calc(100% + 0.5rem);
  inset-inline-end: 0; display: flex; flex-direction: column;
  width: min(var(--herald-bell-width, 24rem), calc(100vw - 1rem)); max-height: min(32rem, var(--_room, 80dvh));
  overflow: hidden; translate: var(--_shift, 0); color: var(--_text); background: var(--_panel);
  border: 1px solid var(--_line); border-radius: var(--_radius);
  box-shadow: 0 0.25rem 0.5rem rgb(0 0 0 / 8%), 0 1rem 2.5rem rgb(0 0 0 / 18%);
}
.panel.above { inset-block: auto calc(100% + 0.5rem); }
.panel:focus { outline: none; }
.head {
  display: flex; flex: none; align-items: center; justify-content: space-between; gap: 1rem;
  min-height: 3.25rem; padding: 0 0.5rem 0 1rem; border-bottom: 1px solid var(--_line);
}
h2 { font-weight: 600; }
.all {
  padding: 0.25rem 0.5rem; border-radius: 0.5rem; font-size: 0.875rem; font-weight: 500; color: var(--_accent);
}
.all:hover { background: var(--_hover); }
.note {
  flex: none; padding: 0.5rem 1rem; font-size: 0.875rem; overflow-wrap: anywhere;
  color: var(--_warn); background: var(--_warn-tint);
}
.list { flex: 1 1 auto; overflow-y: auto; overscroll-behavior: contain; }
.item {
  display: grid; grid-template-columns: 0.5rem minmax(0, 1fr) auto; gap: 0 0.625rem; align-items: baseline;
  width: 100%; padding: 0.75rem 1rem; outline-offset: -2px;
}
li + li .item { border-top: 1px solid var(--_line); }
.item:hover { background: var(--_hover); }
.item::before {
  content: ""; width: 0.5rem; height: 0.5rem; border-radius: 50%; align-self: center;
}
.item.unread { background: var(--_unread); }
.item.unread::before { background: var(--_accent); }
.item.unread .title { font-weight: 600; }
.title, .body { overflow-wrap: anywhere; }
.body {
  grid-column: 2 / -1; font-size: 0.875rem; color: var(--_muted);
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4; overflow: hidden;
  white-space: pre-line;
}
.item time { font-size: 0.8125rem; color: var(--_muted); white-space: nowrap; }
.empty, .more { padding: 0.75rem 1rem; font-size: 0.875rem; text-align: center; color: var(--_muted); }
.empty { padding: 2.5rem 1rem; text-wrap: balance; }
.more { flex: none; border-top: 1px solid var(--_line); }

@media (pointer: coarse) {
  :host { --_size: max(var(--herald-bell-size, 2.5rem), 44px); }
  .all, .item { min-height: 44px; }
}
@media (prefers-reduced-motion: no-preference) {
  .badge.new { animation: pop 0.35s ease-out; }
  .bell.new svg { animation: ring 0.6s ease-in-out; transform-origin: 50% 10%; }
  .panel { animation: open 0.12s ease-out; }
  @keyframes pop { from { scale: 0.5; } 60% { scale: 1.2; } }
  @keyframes ring { 20% { rotate: 14deg; } 45% { rotate: -11deg; } 70% { rotate: 6deg; } }
  @keyframes open { from { opacity: 0; } }
}
@media (forced-colors: active) {
  .badge, .bell.away::after { border: 1px solid; }
  .item.unread::before { background: Highlight; forced-color-adjust: none; }
}
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** A sheet of its own kind: a page's policy may allow no `<style>`. */
export function style() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
