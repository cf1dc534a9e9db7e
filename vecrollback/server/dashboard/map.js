// Vectors in the plane by the model that is said to have made them. Drawn when a check found a mix.

import { ApiError, get } from "./api.js";
import { $, h, s, show, table } from "./dom.js";
import { count, percent, plural } from "./format.js";
import { lastReport, reaches, state } from "./state.js";

const MIXES = ["foreign_vector", "foreign_fingerprint"];
const SIZE = [720, 400];
const EDGE = 16;
const loaded = new Map();

const mixed = (report) => report?.findings.some((finding) => MIXES.includes(finding.kind));

export function drawMap() {
  const found = state.status.pairs.map((pair) => lastReport(pair.name)).filter(mixed);
  $("map-section").hidden = !found.length;
  for (const report of found) if (reaches("operator")) load(report);
  const maps = found.map((report) => [report.pair, report.at, loaded.get(`${report.pair} ${report.at}`)?.state]);
  show($("map"), [maps, reaches("operator")], () => found.map(drawn));
}

async function load(report) {
  const key = `${report.pair} ${report.at}`;
  if (loaded.has(key)) return;
  const entry = { state: "loading" };
  loaded.set(key, entry);
  try {
    Object.assign(entry, { map: await get(`/v1/map?pair=${encodeURIComponent(report.pair)}`), state: "there" });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    Object.assign(entry, { state: "failed", message: error.message });
  }
  drawMap();
}

function drawn(report) {
  const entry = loaded.get(`${report.pair} ${report.at}`);
  if (!entry) return h("p", { class: "empty" }, "Drawing the map takes an operator’s token.");
  if (entry.state === "loading") return h("p", { class: "empty" }, `Reading the vectors of ${report.pair} …`);
  if (entry.state === "failed") return h("p", { class: "problem" }, entry.message);
  return figure(entry.map);
}

/** own: made by the pair's model as far as anybody knows; named: the check says not; other: not even recorded as. */
function groups(map) {
  const points = map.points.map((row) => Object.fromEntries(map.columns.map((name, i) => [name, row[i]])));
  const recorded = (point) => point.fingerprint === map.fingerprint;
  return [
    ["own", "recorded as its own and not contradicted", points.filter((point) => recorded(point) && !point.named)],
    ["named", "re-embedded and found foreign, though recorded as its own", points.filter((point) => recorded(point) && point.named)],
    ["other", "recorded as made by another model", points.filter((point) => !recorded(point))],
  ].filter(([, , members]) => members.length);
}

function figure(map) {
  const parts = groups(map);
  const all = parts.flatMap(([, , members]) => members);
  const scale = (axis, length, flip) => {
    const values = all.map((point) => point[axis]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const place = (value) => EDGE + ((value - low) / (high - low || 1)) * (length - 2 * EDGE);
    return flip ? (value) => length - place(value) : place;
  };
  const [x, y] = [scale("x", SIZE[0]), scale("y", SIZE[1], true)];
  const said = `${map.pair}@${map.snapshot}: ${parts.map(([, words, members]) => `${plural(members.length, "vector")} ${words}`).join("; ")}.`;
  return h("figure", { class: "map" },
    h("figcaption", null, h("strong", null, `${map.pair}@${map.snapshot}`), ` · ${plural(all.length, "vector")} of ${count(map.population)} on their two principal axes (${percent(map.explained[0])} and ${percent(map.explained[1])} of the variance; suspects weigh as much as all others)`),
    h("ul", { class: "legend" }, parts.map(([kind, words, members]) => h("li", null, s("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" }, mark(kind, 0, 0)), ` ${count(members.length)} ${words}`))),
    s("svg", { class: "plane", viewBox: `0 0 ${SIZE.join(" ")}`, role: "img", "aria-label": said },
      parts.map(([kind, , members]) => members.map((point) => mark(kind, x(point.x), y(point.y), `${point.id}, chunk ${point.chunk}`)))),
    suspects(parts));
}

/** A dot, a cross or a square: told apart without colours too. */
function mark(kind, x, y, title) {
  const name = title ? s("title", null, title) : null;
  if (kind === "own") return s("circle", { class: "own", cx: x.toFixed(1), cy: y.toFixed(1), r: 2.5 }, name);
  const [cx, cy] = [x, y].map((value) => value.toFixed(1));
  const shape = kind === "named" ? "M-4,-4L4,4M-4,4L4,-4" : "M-4,-4H4V4H-4Z";
  return s("path", { class: kind, d: shape, transform: `translate(${cx} ${cy})` }, name);
}

function suspects(parts) {
  const rows = parts.filter(([kind]) => kind !== "own").flatMap(([, words, members]) => members.map((point) => [point.id, String(point.chunk), words, point.fingerprint.slice(0, 16)]));
  return rows.length ? h("details", null, h("summary", null, `As a table: ${plural(rows.length, "suspect")}`),
    table("Suspects", [["Document"], ["Chunk", "number"], ["Why"], ["Recorded fingerprint"]], rows.slice(0, 200))) : null;
}
