// Whether what is live is well, in a word and with its reasons. The worst one speaks.

import { clockTime, sentence } from "./format.js";
import { live, state } from "./state.js";

const ORDER = ["ok", "note", "unknown", "alert"];
const LEVELS = { ok: "good", note: "warn", unknown: "warn", alert: "bad" };
/** The lines that say why it is well. */
const WELL = ["live", "proof", "way back", "queries"];
const RECENT_SECONDS = 60;

/** Answers, errors and the slowest p99 of the last minute. */
export function lately() {
  const since = Date.now() / 1000 - RECENT_SECONDS;
  const spans = (state.series?.spans ?? []).filter((span) => span.at >= since);
  const sum = (key) => spans.reduce((total, span) => total + span[key], 0);
  const slowest = Math.max(...spans.map((span) => span.p99_ms ?? 0), 0);
  return { answers: sum("answers"), errors: sum("errors"), p99: slowest || null, perSecond: sum("answers") / RECENT_SECONDS };
}

/** {level, word, reasons}: the situation as the server tells it, in its own words. */
export function health() {
  // What was well a minute ago may not be now, and green would say it is.
  if (state.failed) return { level: "warn", word: "Not known", reasons: [`No news since ${clockTime(new Date(state.readAt))}; it may be well all the same`] };
  if (!live()) return { level: "bad", word: "Nothing is live", reasons: ["No pair answers queries. Promote one: vecrollback promote PAIR"] };
  const { verdict, state: worst, lines } = state.status.situation;
  const open = lines.filter((line) => line.state !== "ok").sort((a, b) => ORDER.indexOf(b.state) - ORDER.indexOf(a.state));
  const shown = open.length ? open : lines.filter((line) => WELL.includes(line.name));
  return { level: LEVELS[worst], word: verdict, reasons: shown.map((line) => sentence(line.sentence)) };
}
