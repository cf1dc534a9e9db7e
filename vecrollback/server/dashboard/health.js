// Whether all is well, in a word and a sentence: the server's own verdict, unless there is no news of it.

import { clockTime, sentence } from "./format.js";
import { live, state } from "./state.js";

const LEVELS = { ok: "good", note: "warn", unknown: "warn", alert: "bad" };
/** The lines that say why it is well. */
const WELL = ["proof", "way back", "queries"];
const RECENT_SECONDS = 60;

/** Answers, errors and the slowest p99 of the last minute. */
export function lately() {
  const since = Date.now() / 1000 - RECENT_SECONDS;
  const spans = (state.series?.spans ?? []).filter((span) => span.at >= since);
  const sum = (key) => spans.reduce((total, span) => total + span[key], 0);
  const slowest = Math.max(...spans.map((span) => span.p99_ms ?? 0), 0);
  return { answers: sum("answers"), errors: sum("errors"), p99: slowest || null, perSecond: sum("answers") / RECENT_SECONDS };
}

/** {level, word, said}. */
export function health() {
  if (state.lost) return { level: "bad", word: "The catalog is lost", said: "Queries are answered from what was last known; nothing can be moved or written. Bring the catalog back: its database, or the disk that it lies on. This page goes on by itself." };
  // What was well a minute ago may not be now, and green would say it is.
  if (state.failed) return { level: "warn", word: "Not known", said: state.readAt ? `No news since ${clockTime(new Date(state.readAt))}; it may be well all the same.` : "" };
  const { state: worst, verdict, lines } = state.situation;
  if (worst === "ok") return { level: "good", word: verdict, said: lines.filter((line) => WELL.includes(line.name)).map((line) => sentence(line.sentence)).join(". ") + "." };
  if (!live()) return { level: "bad", word: verdict, said: "" };
  return { level: LEVELS[worst], word: verdict, said: "" };
}
