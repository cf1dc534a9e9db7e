// The top of the page: what is live, whether it is well, and where a rollback would go.

import { $, facts, h, show, text } from "./dom.js";
import { ago, behind, checked, count, modelState, ms, plural, sentence } from "./format.js";
import { health, lately } from "./health.js";
import { can, colour, lastReport, live, liveMoves, pairRow, reaches, state } from "./state.js";

const SIGNS = { good: "✓", warn: "!", bad: "✕" };

export function drawLive() {
  const well = health();
  const pointer = live();
  $("live").dataset.level = well.level;
  show($("verdict"), [well.level, well.word], () =>
    [h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[well.level]), well.word]);
  text($("live-title"), pointer ? `${pointer.pair}@${pointer.snapshot} is live` : state.status ? "Nothing is live" : "Not known");
  const pair = pointer && pairRow(pointer.pair);
  show($("live-model"), [pair?.name, pair?.embedder, pair && colour(pair.name)], () => (pair ? model(pair) : []));
  text($("said"), sentence(well.said));
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
    ...(pair.cascade ? [["By cascade", `${count(pair.cascade.covered)} of ${plural(pair.cascade.documents, "document")} embedded, beside ${pair.cascade.source}`]] : []),
    ["Last minute", answers ? [`${rate} queries/s`, h("div", { class: "note" }, `p99 up to ${ms(p99)}`)] : "no queries"],
    ["Live since", move && [ago(move.at), h("div", { class: "note" }, `${move.kind} by ${move.actor}`)]],
    ["Searchers", searchers.length ? `${following} of ${searchers.length} follow` : "none"],
    ["Epoch", count(pointer.epoch)],
  ));
}

/** The dot in a pair's colour, and its model. */
const model = (pair) => [h("span", { class: `dot ${colour(pair.name)}`, "aria-hidden": "true" }), brief(pair.embedder)];

function drawBack(pointer) {
  if (!state.status) return;
  const { target, reason } = state.status.rollback;
  const pair = target && pairRow(target.slice(0, target.lastIndexOf("@")));
  const report = pair && lastReport(pair.name);
  const allowed = reaches("operator");
  text($("rollback"), target ? `Roll back to ${target} …` : "Roll back …");
  $("rollback").disabled = !target || !can("operator");
  const standby = pair?.state === "standby";
  show($("back-facts"), [target, reason, pair, pair && colour(pair.name), report?.at, allowed, pointer, state.lost], () => [
    target ? h("p", { class: "target" }, `${standby ? "Standby" : "Back to"}: `, h("strong", null, target)) : h("p", null, sentence(reason)),
    target ? h("p", { class: "model" }, model(pair)) : null,
    target ? h("dl", { class: "facts two" }, facts(["Last check", checked(report, pair.checked)], ["Lag", behind(pair.lag)], ["Model", modelState(pair.model)])) : nowhere(),
    state.lost ? h("p", { class: "problem" }, "Nothing can be moved while the catalog is lost.") : null,
    allowed ? null : h("p", { class: "note" }, "Your token may look, not switch: that takes an operator’s."),
  ]);
}

/** Where to go on when there is nowhere to go back to. */
const nowhere = () => h("ul", { class: "ways" },
  h("li", null, h("a", { href: "#snapshots" }, "Restore an older snapshot"), ", exactly as it was taken"),
  h("li", null, h("a", { href: "#trials" }, "Promote another pair"), ", also a quarantined one, with a reason"),
  h("li", null, h("a", { href: "#pairs-section" }, "Check or repair"), " a pair that is named here"));

/** An embedder's string without the directories that lead to it; the whole of it on hover. */
export function brief(embedder) {
  const path = embedder.split("?")[0];
  const parts = path.split("/").filter(Boolean);
  const short = path.startsWith("/") && parts.length > 2 ? `…/${parts.slice(-2).join("/")}` : path;
  return h("span", { title: embedder, class: "name" }, short + embedder.slice(path.length));
}
