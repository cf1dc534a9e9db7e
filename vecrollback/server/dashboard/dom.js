// Building nodes. Text goes in as text only: nothing here, and nothing that came from a document, is parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function built(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element. Attributes that are null or false are left out; `onclick` and the like are listeners. */
export const h = (tag, attributes, ...children) => built(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes, ...children) => built(document.createElementNS(SVG, tag), attributes, children);

const shown = new WeakMap();

/**
 * Replace what is in a node, but only when `facts` differ from the last time: a page that is read aloud, or has an
 * open list or a focused button, must not be rebuilt every second.
 */
export function show(node, facts, build) {
  const key = JSON.stringify(facts);
  if (shown.get(node) === key) return;
  shown.set(node, key);
  const focused = node.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const open = new Set([...node.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key));
  node.replaceChildren(...[build()].flat(Infinity).filter(Boolean));
  for (const one of node.querySelectorAll("details[data-key]")) if (open.has(one.dataset.key)) one.open = true;
  if (focused) node.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

export function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** A table that scrolls by itself when it is too wide. `columns`: [heading, "number"?]; cells: text or nodes. */
export function table(caption, columns, rows) {
  const kind = (index) => (columns[index][1] === "number" ? "number" : null);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", null,
      h("caption", { class: "unseen" }, caption),
      h("thead", null, h("tr", null, columns.map(([name], i) => h("th", { scope: "col", class: kind(i) }, name)))),
      h("tbody", null, rows.map((cells) => h("tr", null, cells.map((cell, i) =>
        i === 0 ? h("th", { scope: "row" }, cell) : h("td", { class: kind(i), "data-label": columns[i][0] }, cell)))))));
}

/** Terms and what they are, for a <dl>: [term, value, class?]. Those without a value are left out. */
export const facts = (...rows) => rows.filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([name, value, kind]) => h("div", { class: kind }, h("dt", null, name), h("dd", null, value)));
