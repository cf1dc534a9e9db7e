// The last minutes by pair: how fast, how many, how good, how far behind. Moves of the pointer stand in each chart.

import { emptyChart, shareChart, timeChart } from "./charts.js";
import { $ } from "./dom.js";
import { behind, count, ms, percent, plural } from "./format.js";
import { jobNow } from "./work.js";
import { colour, live, liveMoves, pairOfEpoch, pairRow, state } from "./state.js";

const KEPT_SHAPES = 3;
const LEAST_SECONDS = 60;
let last = "";
const left = [];

/** What the live pair's catch-up has yet to embed. Its lag falls in steps, as whole batches become durable. */
function noteDraining() {
  const running = state.status.jobs.find((job) => job.kind === "catch-up" && job.state === "running" && job.pair === live()?.pair);
  const { documents, total } = (running && jobNow(running.id)?.progress) ?? {};
  if (total) left.push([Date.now() / 1000, total - documents]);
  while (left.length && left[0][0] < Date.now() / 1000 - 3600) left.shift();
}

export function drawTraffic() {
  if (!state.series) return;
  noteDraining();
  // The charts are drawn again when there is something new, or another width to fill.
  const key = JSON.stringify([state.series.spans.at(-1), state.series.spans.length, state.seconds, live(), $("chart-latency").clientWidth, state.moves[0]?.number]);
  if (key === last) return;
  last = key;
  const spans = state.series.spans.map((span) => ({ ...span, pair: pairOfEpoch(span.epoch) })).filter((span) => span.pair);
  const now = Date.now() / 1000;
  // A server that started a minute ago has a minute to show: it gets the whole width.
  const first = Math.min(spans[0]?.at ?? now, now - LEAST_SECONDS);
  const time = { marks: marks(), from: Math.max(first - 2, now - state.seconds), to: now, step: state.series.step };
  latency(spans, time);
  queries(spans, time);
  scores(spans);
  lag(spans, time);
}

/** The spans of each pair, in the order in which pairs first appear. */
function byPair(spans) {
  const found = new Map();
  for (const span of spans) found.set(span.pair, [...(found.get(span.pair) ?? []), span]);
  return [...found];
}

const marks = () => liveMoves().map((move) => ({
  at: new Date(move.at).getTime() / 1000, short: `${move.kind} → ${move.to}`, colour: colour(move.to.slice(0, move.to.lastIndexOf("@"))),
  name: `${move.kind} to ${move.to} by ${move.actor}: ${move.reason}` }));

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function latency(spans, time) {
  const answered = spans.filter((span) => span.p99_ms !== null);
  if (!answered.length) return emptyChart($("chart-latency"), "Latency: p99, and p50 as the thin line", "No queries in this time.");
  const groups = byPair(answered);
  const lines = groups.flatMap(([pair, own]) => [
    { name: pair, colour: colour(pair), points: own.map((span) => [span.at, span.p99_ms]) },
    { name: `${pair} p50`, colour: colour(pair), thin: true, points: own.map((span) => [span.at, span.p50_ms]) }]);
  const said = groups.map(([pair, own]) => `${pair}: median ${ms(median(own.map((span) => span.p50_ms)))}, p99 ${ms(median(own.map((span) => span.p99_ms)))}`).join("; ");
  return timeChart($("chart-latency"), { title: "Latency: p99, and p50 as the thin line", said: `${said}.`, lines, format: ms, logarithmic: true, ...time });
}

function queries(spans, time) {
  const errors = spans.reduce((sum, span) => sum + span.errors, 0);
  const answers = spans.reduce((sum, span) => sum + span.answers, 0);
  if (!answers && !errors) return emptyChart($("chart-queries"), "Queries and errors", "No queries in this time.");
  // All epochs of a step together: what two pairs answered in the second of a switch is one rate. The last step is
  // not over yet.
  const whole = spans.filter((span) => span.at + time.step <= time.to);
  const rates = (key) => {
    const sums = new Map();
    for (const span of whole) sums.set(span.at, (sums.get(span.at) ?? 0) + span[key] / time.step);
    return sums;
  };
  const rate = rates("answers");
  const lines = byPair(whole).map(([pair, own]) => ({ name: pair, colour: colour(pair), points: own.map((span) => [span.at, rate.get(span.at)]) }));
  lines.push({ name: "errors", colour: "error", points: [...rates("errors")] });
  const said = `${plural(answers, "query", "queries")} answered, ${errors ? `${plural(errors, "error")} (${percent(errors / (errors + answers))})` : "no errors"}.`;
  return timeChart($("chart-queries"), { title: "Queries and errors", said, lines, format: (value) => `${count(Number(value.toFixed(1)))}/s`, floor: 2, ...time });
}

/** How near the best hit was. Models have scales of their own: the shapes are to be read against each one's threshold. */
function scores(spans) {
  const edges = state.series.scores_from;
  const groups = byPair(spans.filter((span) => span.scores.some(Boolean))).slice(-KEPT_SHAPES);
  if (!groups.length) return emptyChart($("chart-scores"), "Best score by pair", "No answers in this time.");
  const shapes = groups.map(([pair, own]) => {
    const sums = edges.map((_, n) => own.reduce((sum, span) => sum + span.scores[n], 0));
    const total = sums.reduce((a, b) => a + b, 0);
    const settings = state.pairs.find((one) => one.name === pair)?.settings ?? {};
    const threshold = [settings.score_threshold, settings.threshold].find((value) => typeof value === "number") ?? null;
    return { pair, name: pair, colour: colour(pair), shares: sums.map((sum) => sum / total), threshold };
  });
  const words = shapes.map((shape) => {
    let seen = 0;
    const middle = edges[shape.shares.findIndex((share) => (seen += share) >= 0.5)];
    const below = shape.threshold === null ? "" : `, ${percent(shape.shares.reduce((sum, share, n) => sum + (edges[n] + 0.001 < shape.threshold ? share : 0), 0))} under its threshold ${shape.threshold}`;
    return `${shape.name}: median about ${(middle + (edges[1] - edges[0]) / 2).toFixed(2)}${below}`;
  });
  return shareChart($("chart-scores"), { title: "Best score by pair", said: `${words.join("; ")}.`, shapes, edges, format: percent });
}

function lag(spans, time) {
  const seen = spans.filter((span) => span.lag !== null);
  if (!seen.length) return emptyChart($("chart-lag"), "Lag of the live pair", "Nothing was live in this time.");
  const lines = byPair(seen).map(([pair, own]) => ({ name: pair, colour: colour(pair), points: own.map((span) => [span.at, span.lag]) }));
  const draining = left.filter(([at]) => at >= time.from);
  if (draining.length) lines.push({ name: "still to embed", colour: "cx", thin: true, points: draining });
  const now = pairRow(live()?.pair)?.lag ?? 0;
  const most = Math.max(...seen.map((span) => span.lag));
  const said = `Now ${behind(now)}${most > now ? `; at most ${plural(most, "change")} in this time` : ""}.${draining.length ? " Thin line: still to embed." : ""}`;
  return timeChart($("chart-lag"), { title: "Lag of the live pair", said, lines, format: count, floor: 4, whole: true, ...time });
}
