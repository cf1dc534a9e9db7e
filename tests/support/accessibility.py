"""Questions to a page that people with a keyboard, a screen reader or tired eyes would ask. Each answers a list."""

from __future__ import annotations

CONTROLS_WITHOUT_NAME = """
const named = (node) => (node.getAttribute("aria-label") || node.textContent || "").trim()
  || (node.getAttribute("aria-labelledby") || "").split(" ")
    .map((id) => document.getElementById(id)?.innerText).join("").trim()
  || [...(node.labels ?? [])].map((label) => label.innerText).join("").trim();
const wanted = "button, input, select, textarea, a, summary, section, dialog, progress"
  + ", [role=img], [role=region], [role=group]";
return [...document.querySelectorAll(wanted)].filter((node) => node.closest("[hidden], dialog:not([open])") === null)
  .filter((node) => !named(node)).map((node) => node.outerHTML.slice(0, 120));
"""

HEADINGS = """
return [...document.querySelectorAll("h1, h2, h3, h4")].filter((node) => node.checkVisibility())
  .map((node) => Number(node.tagName[1]));
"""

STRUCTURE = """
const wrong = [];
for (const [selector, count] of [["header", 1], ["main", 1], ["footer", 1], ["[role=status]", 1], ["html[lang]", 1]])
  if (document.querySelectorAll(selector).length !== count) wrong.push(selector);
const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
wrong.push(...ids.filter((id, place) => ids.indexOf(id) !== place));
for (const table of document.querySelectorAll("table"))
  if (!table.caption || !table.querySelector("thead th[scope=col]")
    || [...table.querySelectorAll("tbody tr")].some((row) => !row.querySelector("th[scope=row]")))
    wrong.push(table.caption?.innerText ?? "a table without a caption");
for (const image of document.querySelectorAll("img")) if (image.getAttribute("alt") === null) wrong.push(image.src);
for (const node of document.querySelectorAll("[tabindex]"))
  if (node.tabIndex > 0) wrong.push(node.outerHTML.slice(0, 80));
for (const node of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
  for (const name of ["aria-labelledby", "aria-describedby"])
    for (const id of (node.getAttribute(name) ?? "").split(" ").filter(Boolean))
      if (!document.getElementById(id)) wrong.push(id);
return wrong;
"""

CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const over = (top, under) => top.slice(0, 3).map((value, n) => value * top[3] / 255 + under[n] * (1 - top[3] / 255));
const luminance = (colour) => colour.slice(0, 3).map((value) => value / 255)
  .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
const ground = (node) => {
  const layers = [];
  for (let at = node; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
};
const wrong = [];
for (const node of document.querySelectorAll("body *")) {
  if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
  if (!node.checkVisibility() || node.closest(".unseen, :disabled, option, script, style, title")) continue;
  const style = getComputedStyle(node);
  const drawn = node instanceof SVGElement ? style.fill : style.color;
  const back = ground(node);
  const [a, b] = [luminance(over(rgba(drawn), back)), luminance(back)];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const large = parseFloat(style.fontSize) >= 24;
  const kind = node.className.baseVal ?? node.className;
  if (ratio < (large ? 3 : 4.5)) wrong.push(`${ratio.toFixed(2)} ${kind} ${node.textContent.trim().slice(0, 40)}`);
}
return wrong;
"""
