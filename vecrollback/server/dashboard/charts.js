// Charts as inline SVG: lines over time, and shares over a scale. Each comes with words and a table of its numbers.

import { h, s, table } from "./dom.js";
import { clockTime, utc } from "./format.js";

const HEIGHT = 190;
const EDGE = { left: 52, right: 12, top: 16, bottom: 24 };

/** A round step so that about four lines fit under `highest`. */
function ticksTo(highest, whole) {
  const rough = (highest || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough && (!whole || Number.isInteger(n))) ?? 1;
  return Array.from({ length: Math.ceil((highest || 1) / step) + 1 }, (_, n) => n * step);
}

/** Powers of ten around the values, so that one slow second does not flatten all others. */
function powers(values) {
  const [low, high] = [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(Math.max(...values)))];
  return Array.from({ length: Math.max(1, high - low) + 1 }, (_, n) => 10 ** (low + n));
}

function frame(width, ticks, format, scale = (value) => value) {
  const [low, top] = [scale(ticks[0]), scale(ticks[ticks.length - 1])];
  const share = (value) => (Math.max(low, Math.min(scale(value), top)) - low) / (top - low);
  const y = (value) => HEIGHT - EDGE.bottom - share(value) * (HEIGHT - EDGE.top - EDGE.bottom);
  const lines = ticks.map((tick) => s("g", { class: "tick" },
    s("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(tick), y2: y(tick) }),
    s("text", { x: EDGE.left - 8, y: y(tick) + 4, "text-anchor": "end" }, format(tick))));
  return { y, lines };
}

const path = (points) => points.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

/** Points in runs without a gap, so that a silence is not drawn as a line. */
function runs(points, gap) {
  const made = [];
  for (const point of points) {
    const last = made.at(-1);
    if (last && point[0] - last.at(-1)[0] <= gap) last.push(point);
    else made.push([point]);
  }
  return made;
}

/**
 * Lines over time. `lines`: [{name, colour, thin, points: [[seconds, value]]}]; `marks`: [{at, name, colour}], the
 * moves of the pointer; `format` writes a value with its unit; `floor` is the least that fits under the top line.
 */
export function timeChart(node, { title, said, lines, marks, from, to, step, format, floor = 1, whole = false, logarithmic = false }) {
  const width = Math.max(280, node.clientWidth - 34);
  const values = lines.flatMap((line) => line.points.map(([, value]) => value));
  const { y, lines: grid } = logarithmic ? frame(width, powers(values), format, Math.log10)
    : frame(width, ticksTo(Math.max(floor, ...values), whole), format);
  const x = (at) => EDGE.left + ((at - from) / (to - from)) * (width - EDGE.left - EDGE.right);
  const inside = marks.filter((mark) => mark.at > from && mark.at < to);
  const drawn = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `${title}. ${said}` },
    grid, timeTicks(from, to, x),
    inside.map((mark) => s("g", { class: `mark-line ${mark.colour}` },
      s("line", { x1: x(mark.at), x2: x(mark.at), y1: EDGE.top - 4, y2: HEIGHT - EDGE.bottom }),
      s("title", null, mark.name))),
    labels(inside, x, width),
    lines.flatMap((line) => runs(line.points, step * 2.5).map((run) => run.length > 1
      ? s("path", { class: `line ${line.colour} ${line.thin ? "thin" : ""}`, d: path(run.map(([at, value]) => [x(at), y(value)])) })
      : s("circle", { class: `point ${line.colour}`, cx: x(run[0][0]), cy: y(run[0][1]), r: 1.5 }))));
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  followPointer(drawn, readout, { lines, from, to, width, step, format });
  put(node, title, said, lines, [drawn, readout], timeTable(title, lines, format, step));
}

/** Names of the moves along the top, the newest first; one that would run into the next is left to its tooltip. */
function labels(marks, x, width) {
  let free = Infinity;
  return [...marks].sort((a, b) => b.at - a.at).map((mark) => {
    const at = x(mark.at);
    const wide = mark.short.length * 6.4 + 10;
    const left = at + wide > width;
    if ((left ? at : at + wide) > free) return null;
    free = left ? at - wide : at;
    return s("text", { class: `mark-name ${mark.colour}`, x: left ? at - 4 : at + 4, y: EDGE.top - 5, "text-anchor": left ? "end" : "start" }, mark.short);
  });
}

function timeTicks(from, to, x) {
  const every = [30, 60, 120, 300, 600, 900, 1800].find((step) => (to - from) / step <= 6) ?? 3600;
  const first = Math.ceil(from / every) * every;
  return Array.from({ length: Math.floor((to - first) / every) + 1 }, (_, n) => first + n * every).map((at) =>
    s("text", { class: "time", x: x(at), y: HEIGHT - 6, "text-anchor": "middle" }, clockTime(new Date(at * 1000)).slice(0, every < 60 ? 8 : 5)));
}

/** What the lines say where the pointer is; on a line of its own, so that nothing moves. */
function followPointer(svg, readout, { lines, from, to, width, step, format }) {
  const rule = s("line", { class: "rule", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
  svg.append(rule);
  svg.addEventListener("pointermove", (event) => {
    const place = ((event.clientX - svg.getBoundingClientRect().left) / svg.getBoundingClientRect().width) * width;
    const at = from + ((place - EDGE.left) / (width - EDGE.left - EDGE.right)) * (to - from);
    const near = lines.map((line) => [line, line.points.reduce((best, point) => Math.abs(point[0] - at) < Math.abs((best?.[0] ?? Infinity) - at) ? point : best, null)])
      .filter(([, point]) => point && Math.abs(point[0] - at) <= step * 2);
    if (!near.length) return;
    const when = new Date(near[0][1][0] * 1000);
    rule.setAttribute("x1", place);
    rule.setAttribute("x2", place);
    rule.setAttribute("visibility", "visible");
    readout.textContent = `${clockTime(when)} (${utc(when).slice(11)}): ${near.map(([line, [, value]]) => `${line.name} ${format(value)}`).join(", ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    rule.setAttribute("visibility", "hidden");
    readout.textContent = "";
  });
}

/** Shares over a scale, one outline for each pair. `shapes`: [{name, colour, shares, threshold}]; `edges`: lower ends. */
export function shareChart(node, { title, said, shapes, edges, format }) {
  const width = Math.max(280, node.clientWidth - 34);
  const highest = Math.max(0.1, ...shapes.flatMap((shape) => shape.shares));
  const { y, lines: grid } = frame(width, ticksTo(highest, false), format);
  const step = edges[1] - edges[0];
  const used = edges.filter((_, n) => shapes.some((shape) => shape.shares[n] > 0));
  const low = Math.max(edges[0], Math.min(...used, ...shapes.map((shape) => shape.threshold ?? Infinity)) - step);
  const high = Math.max(...used, low + 4 * step) + 2 * step;
  const x = (value) => EDGE.left + ((value - low) / (high - low)) * (width - EDGE.left - EDGE.right);
  const outline = (shape) => edges.flatMap((edge, n) => edge < low - step / 2 || edge > high - step / 2 ? [] : [[x(edge), y(shape.shares[n])], [x(Math.min(edge + step, high)), y(shape.shares[n])]]);
  const drawn = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": `${title}. ${said}` },
    grid,
    edges.filter((edge, n) => n % 2 === 0 && edge >= low - 1e-9 && edge < high).map((edge) => s("text", { class: "time", x: x(edge), y: HEIGHT - 6, "text-anchor": "middle" }, edge.toFixed(1))),
    shapes.map((shape) => [
      s("path", { class: `area ${shape.colour}`, d: `${path([[x(low), y(0)], ...outline(shape), [x(high), y(0)]])}Z` }),
      s("path", { class: `line ${shape.colour}`, d: path(outline(shape)) }),
      shape.threshold !== null ? s("line", { class: `threshold ${shape.colour}`, x1: x(shape.threshold), x2: x(shape.threshold), y1: EDGE.top, y2: HEIGHT - EDGE.bottom }) : null]));
  const rows = edges.map((edge, n) => [`${edge.toFixed(2)} to ${(edge + step).toFixed(2)}`, ...shapes.map((shape) => format(shape.shares[n]))]).filter((_, n) => shapes.some((shape) => shape.shares[n] > 0));
  const columns = [["Score"], ...shapes.map((shape) => [shape.name, "number"])];
  put(node, title, said, shapes, [drawn, h("p", { class: "readout", "aria-hidden": "true" })], table(`${title}, as a table`, columns, rows));
}

function timeTable(title, lines, format, step) {
  const times = [...new Set(lines.flatMap((line) => line.points.map(([at]) => at)))].sort((a, b) => b - a);
  const every = Math.max(1, Math.ceil(times.length / 30));
  const rows = times.filter((_, n) => n % every === 0).map((at) => [
    h("time", { datetime: new Date(at * 1000).toISOString(), title: utc(new Date(at * 1000)) }, clockTime(new Date(at * 1000))),
    ...lines.map((line) => { const point = line.points.find(([when]) => when === at); return point ? format(point[1]) : "–"; })]);
  return table(`${title}, every ${every * step} s`, [["Time"], ...lines.map((line) => [line.name, "number"])], rows);
}

/** Caption, words, legend, drawing, numbers. The numbers stay open, and the readout where it was, as lines are redrawn. */
function put(node, title, said, entries, [drawn, readout], numbers) {
  const open = node.querySelector("details")?.open ?? false;
  const focused = document.activeElement?.closest?.("summary") && node.contains(document.activeElement);
  if (node.matches(":hover") && !open) readout.textContent = node.querySelector(".readout")?.textContent ?? "";
  const legend = h("ul", { class: "legend" }, entries.filter((entry) => !entry.thin).map((entry) => h("li", null, h("span", { class: `key ${entry.colour}`, "aria-hidden": "true" }), entry.name)));
  const details = h("details", { open }, h("summary", null, "Numbers"), open ? numbers : []);
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(numbers));
  node.replaceChildren(h("figcaption", null, h("h3", null, title), h("p", { class: "said" }, said)), legend, drawn, readout, details);
  if (focused) details.querySelector("summary").focus();
}

/** A chart that has nothing to show yet, of the same height as one that has. */
export function emptyChart(node, title, said) {
  node.replaceChildren(h("figcaption", null, h("h3", null, title), h("p", { class: "said" }, said)), h("div", { class: "nothing", "aria-hidden": "true" }));
}
