// The top of the page: what is live, whether it is well, and where a rollback would go.

import { $, facts, h, show, text } from "./dom.js";
import { ago, behind, checked, count, modelState, ms, sentence } from "./format.js";
import { health, lately } from "./health.js";
import { colour, lastReport, live, liveMoves, pairRow, reaches, state } from "./state.js";

const SIGNS = { good: "✓", warn: "!", bad: "✕" };

export function drawLive() {
  const well = health();
  const pointer = live();
  $("live").dataset.level = well.level;
  show($("verdict"), [well.level, well.word], () =>
    [h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[well.level]), well.word]);
  text($("live-title"), pointer ? `${pointer.pair}@${pointer.snapshot} is live` : "Nothing is live");
  const pair = pointer && pairRow(pointer.pair);
  show($("live-model"), [pair?.name, pair?.embedder], () => (pair ? model(pair) : []));
  show($("reasons"), well.reasons, () => well.reasons.map((reason) => h("li", null, reason)));
  drawFacts(pointer);
  drawBack(pointer);
}

function drawFacts(pointer) {
  if (!pointer) return show($("live-facts"), null, () => []);
  const pair = pairRow(pointer.pair);
  const move = liveMoves()[0];
  const report = lastReport(pointer.pair);
  const { answers, perSecond, p99 } = lately();
  const rate = perSecond >= 10 ? count(Math.round(perSecond)) : perSecond.toFixed(1);
  const searchers = state.status.searchers;
  const following = searchers.filter((searcher) => searcher.epoch >= pointer.epoch).length;
  const seen = [pointer, pair, move?.number, report?.at, rate, p99, searchers.length, following];
  return show($("live-facts"), seen, () => facts(
    ["Last check", checked(report)],
    ["Lag", behind(pair.lag)],
    ["Last minute", answers ? [`${rate} queries/s`, h("div", { class: "note" }, `p99 up to ${ms(p99)}`)] : "no queries"],
    ["Live since", move && [ago(move.at), h("div", { class: "note" }, `${move.kind} by ${move.actor}`)]],
    ["Searchers", searchers.length ? `${following} of ${searchers.length} follow` : "none"],
    ["Epoch", count(pointer.epoch)],
  ));
}

/** The dot in a pair's colour, and its model. */
const model = (pair) => [h("span", { class: `dot ${colour(pair.name)}`, "aria-hidden": "true" }), brief(pair.embedder)];

function drawBack(pointer) {
  const { target, reason } = state.status.rollback;
  const pair = target && pairRow(target.slice(0, target.lastIndexOf("@")));
  const report = pair && lastReport(pair.name);
  const allowed = reaches("operator");
  text($("rollback"), target ? `Roll back to ${target} …` : "Roll back …");
  $("rollback").disabled = !target || !allowed;
  const standby = pair?.state === "standby";
  show($("back-facts"), [target, reason, pair, report?.at, allowed, pointer], () => [
    target ? h("p", { class: "target" }, `${standby ? "Standby" : "Back to"}: `, h("strong", null, target)) : h("p", null, sentence(reason)),
    target ? h("p", { class: "model" }, model(pair)) : null,
    target ? h("dl", { class: "facts two" }, facts(["Last check", checked(report, pair.checked)], ["Lag", behind(pair.lag)], ["Model", modelState(pair.model)])) : null,
    allowed ? null : h("p", { class: "note" }, "Your token may look, not switch: that takes an operator’s."),
  ]);
}

/** An embedder's string without the directories that lead to it; the whole of it on hover. */
export function brief(embedder) {
  const path = embedder.split("?")[0];
  const parts = path.split("/").filter(Boolean);
  const short = path.startsWith("/") && parts.length > 2 ? `…/${parts.slice(-2).join("/")}` : path;
  return h("span", { title: embedder, class: "name" }, short + embedder.slice(path.length));
}
