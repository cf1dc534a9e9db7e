// Whether what is live is well, in a word and with its reasons. The worst one speaks.

import { behind, clockTime, count, percent, plural } from "./format.js";
import { lastReport, live, pairRow, state } from "./state.js";

const ORDER = ["good", "note", "warn", "bad"];
const RECENT_SECONDS = 60;

/** Answers, errors and the slowest p99 of the last minute. */
export function lately() {
  const since = Date.now() / 1000 - RECENT_SECONDS;
  const spans = (state.series?.spans ?? []).filter((span) => span.at >= since);
  const sum = (key) => spans.reduce((total, span) => total + span[key], 0);
  const slowest = Math.max(...spans.map((span) => span.p99_ms ?? 0), 0);
  return { answers: sum("answers"), errors: sum("errors"), p99: slowest || null, perSecond: sum("answers") / RECENT_SECONDS };
}

function* reasons() {
  const pointer = live();
  const pair = pairRow(pointer.pair);
  const report = lastReport(pointer.pair);
  if (pair.checked === "fail") yield ["bad", `Its last check failed: ${report?.findings[0]?.message ?? "see below"}`];
  else if (pair.checked === "unknown") yield ["warn", "Its last check could not look at everything"];
  else if (!pair.checked) yield ["warn", "It was never checked"];
  if (pair.model.answers === "fail") yield ["bad", `Its model does not answer: ${pair.model.said}`];
  const silent = state.status.pairs.find((one) => one.state === "standby" && one.model.answers === "fail");
  if (silent) yield ["warn", `The model of the standby ${silent.name} does not answer, so no rollback goes there: ${silent.model.said}`];
  const { answers, errors } = lately();
  if (errors) {
    const share = errors / (answers + errors);
    yield [share > 0.01 ? "bad" : "warn", `${plural(errors, "error")} in the last minute, ${percent(share)} of the queries`];
  }
  const searchers = state.status.searchers;
  const late = searchers.filter((searcher) => searcher.epoch < pointer.epoch);
  if (!searchers.length) yield ["warn", "No searcher is registered"];
  if (late.length) yield ["bad", `${late.length} of ${plural(searchers.length, "searcher")} still answer from an older epoch`];
  const job = state.status.jobs.find((one) => one.pair === pointer.pair && one.state === "failed");
  if (job) yield ["warn", `Its ${job.kind} job failed: ${job.error}`];
  if (pair.lag) yield [pair.lag > 0.05 * state.status.corpus.head ? "warn" : "note", `It is ${behind(pair.lag)}`];
}

/** {level, word, reasons}. */
export function health() {
  // What was well a minute ago may not be now, and green would say it is.
  if (state.failed) return { level: "warn", word: "Not known", reasons: [`No news since ${clockTime(new Date(state.readAt))}; it may be well all the same`] };
  if (!live()) return { level: "bad", word: "Nothing is live", reasons: ["No pair answers queries. Promote one: vecrollback promote PAIR"] };
  const found = [...reasons()].sort((a, b) => ORDER.indexOf(b[0]) - ORDER.indexOf(a[0]));
  const level = found[0]?.[0] ?? "good";
  const word = { good: "Well", note: "Well", warn: "Look at it", bad: "Not well" }[level];
  const said = found.map(([, words]) => words);
  const searchers = state.status.searchers.length;
  if (!said.length) said.push(`Its last check passed, ${searchers === 1 ? "its searcher follows" : `${count(searchers)} of ${count(searchers)} searchers follow`}, no errors in the last minute`);
  return { level: level === "note" ? "good" : level, word, reasons: said };
}
