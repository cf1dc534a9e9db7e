// Pairs, and what checks said of them.

import { catchUp, check, repair } from "./attention.js";
import { $, h, show, table } from "./dom.js";
import { ago, at, count, percent, plural, sentence, verdict } from "./format.js";
import { brief } from "./live.js";
import { can, colour, lastReport, reaches, state } from "./state.js";

const SHOWN_IDS = 8;

export function drawPairs() {
  const pairs = state.status.pairs;
  const allowed = can("operator");
  const busy = state.status.jobs.filter((job) => job.state === "running").map((job) => [job.kind, job.pair]);
  const seen = [pairs, allowed, reaches("operator"), busy, pairs.map((pair) => lastReport(pair.name)?.at)];
  show($("pairs"), seen, () => pairs.length
    ? table("Pairs: one model and its own index each",
      [["Pair"], ["State"], ["Model"], ["Index"], ["Dimension", "number"], ["Lag", "number"], ["Last check"], [reaches("operator") ? "Action" : ""]],
      pairs.map((pair) => row(pair, allowed)))
    : h("p", { class: "empty" }, "No pair exists yet: vecrollback reembed MODEL --name v1"));
}

function row(pair, allowed) {
  const report = lastReport(pair.name);
  return [
    [h("span", { class: `dot ${colour(pair.name)}`, "aria-hidden": "true" }), pair.snapshot ? `${pair.name}@${pair.snapshot}` : pair.name],
    [h("span", { class: `state ${pair.state}` }, pair.state), pair.reason ? h("div", { class: "note" }, pair.reason) : null],
    [brief(pair.embedder), h("div", { class: "note", title: pair.fingerprint }, pair.fingerprint.slice(0, 16))],
    pair.index, count(pair.dimension), count(pair.lag),
    [verdict(pair.checked), report ? h("div", { class: "note" }, ago(report.at)) : null],
    reaches("operator") && pair.snapshot ? h("div", { class: "buttons" }, actions(pair, allowed)) : "",
  ];
}

const actions = (pair, allowed) => [
  check(pair.name, `check-${pair.name}`, "Check"),
  pair.lag ? catchUp(pair, `catch-up-${pair.name}`, "Catch up") : null,
  pair.checked === "fail" ? repair(pair.name, `repair-${pair.name}`, "Repair") : null,
].filter(Boolean).map((one) => {
  one.disabled ||= !allowed;
  return one;
});

export function drawReports() {
  const reports = state.reports.slice(0, 12);
  const first = new Set();
  const newest = new Set(reports.filter((report) => !first.has(report.pair) && first.add(report.pair)));
  show($("reports"), reports.map((report) => [report.pair, report.at]), () => reports.length
    ? reports.map((report) => entry(report, newest.has(report))) : h("p", { class: "empty" }, "Nothing was ever checked."));
}

/** The newest report of each pair stands open when it found something. */
function entry(report, newest) {
  const key = `${report.pair} ${report.at}`;
  return h("details", { "data-key": key, open: newest && report.findings.length > 0 },
    h("summary", { "data-key": `summary ${key}` }, verdict(report.verdict), " ",
      h("strong", null, `${report.pair}@${report.snapshot}`), ` · ${report.level} · `, at(report.at), " · ", ago(report.at),
      report.findings.length ? ` · ${plural(report.findings.length, "finding")}` : ""),
    report.findings.length ? table(`Findings in ${report.pair}@${report.snapshot}`,
      [["Found"], ["Severity"], ["Count", "number"], ["Law broken"], ["Documents"]], report.findings.map(finding))
      : h("p", null, "Nothing was found wrong."),
    h("p", null, certificate(report.certificate)),
    h("p", { class: "note" }, `Watermark ${count(report.watermark)} of head ${count(report.head)}. `,
      Object.keys(report.examined).length ? `Examined: ${Object.entries(report.examined).map(([name, value]) => `${typeof value === "number" ? count(value) : value} ${name.replaceAll("_", " ")}`).join(", ")}.` : ""));
}

const SEVERITY = { fail: ["bad", "✕"], unknown: ["warn", "?"], warn: ["warn", "!"] };

function finding(found) {
  const [level, sign] = SEVERITY[found.severity];
  const more = found.count > SHOWN_IDS ? ` and ${count(found.count - SHOWN_IDS)} more` : "";
  return [sentence(found.message),
    h("span", { class: `mark ${level}` }, h("span", { "aria-hidden": "true" }, sign), ` ${found.severity}`),
    count(found.count), found.law, [h("span", { class: "ids" }, found.ids.slice(0, SHOWN_IDS).join(", ")), more]];
}

/** The certificate as a sentence that can be repeated on the phone. */
function certificate(proof) {
  if (!proof) return "No certificate: no vectors were re-embedded.";
  const looked = `${count(proof.sampled)} of ${plural(proof.population, "vector")} re-embedded, ${proof.foreign ? `${count(proof.foreign)} differed` : "all as stored"}`;
  if (proof.sampled === proof.population && !proof.foreign) return `Certificate: every vector was made by the pair’s own model (${looked}).`;
  return `Certificate: with ${percent(proof.confidence)} confidence, at most ${percent(proof.bound)} of the vectors were not made by the pair’s own model (${looked}).`;
}
