// Numbers with their units, times in this browser's zone with UTC at hand.

import { h } from "./dom.js";

const whole = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export const count = (number) => whole.format(number);

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** Milliseconds with as many digits as matter. */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  const digits = (number) => String(Number(number.toFixed(number < 10 ? 1 : 0)));
  return value >= 1000 ? `${digits(value / 1000)}\u00a0s` : `${digits(value)}\u00a0ms`;
}

export function percent(share) {
  const value = share * 100;
  return `${value.toFixed(value === 0 || value >= 10 ? 0 : value >= 1 ? 1 : 2)}\u00a0%`;
}

export const behind = (lag) => (lag ? `${plural(lag, "change")} behind` : "up to date");

export const sentence = (words) => (words ? words[0].toUpperCase() + words.slice(1) : "");

/** A stretch of time in the unit a person would choose. */
export function duration(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return plural(Math.floor(seconds / 86400), "day");
}

export const utc = (when) => when.toISOString().replace("T", " ").slice(0, 19) + " UTC";

export const clockTime = (when) => clock.format(when);

/** When something happened: today the clock, before that the date too. */
export function at(iso) {
  const when = new Date(iso);
  const today = when.toDateString() === new Date().toDateString();
  const words = today ? clock.format(when) : `${date.format(when)}, ${clock.format(when)}`;
  return h("time", { datetime: when.toISOString(), title: utc(when) }, words);
}

/** How long ago, kept true by `tick`. */
export function ago(iso) {
  const when = new Date(iso);
  return h("time", { datetime: when.toISOString(), title: utc(when), "data-ago": "" }, since(when));
}

const since = (when) => `${duration(Math.max(0, (Date.now() - when) / 1000))} ago`;

/** Bring every "… ago" on the page up to date. */
export function tick() {
  for (const node of document.querySelectorAll("time[data-ago]")) {
    const words = since(new Date(node.dateTime));
    if (node.textContent !== words) node.textContent = words;
  }
}

/** A verdict with the age of its report. */
export const checked = (report, known = null) => report
  ? [verdict(report.verdict), h("div", { class: "note" }, ago(report.at))] : verdict(known);

/** Whether a pair's model answered when it was asked lately, and whether the store keeps its files. */
export function modelState({ answers, asked_at: asked, kept_bytes: kept }) {
  const words = { pass: ["✓", "answers", "good"], fail: ["✕", "does not answer", "bad"] };
  const [sign, word, level] = words[answers] ?? ["–", "not asked lately", "warn"];
  return [
    h("span", { class: `mark ${level}` }, h("span", { "aria-hidden": "true" }, sign), ` ${word}`),
    h("div", { class: "note" }, asked ? ago(asked) : null, kept === null ? "" : `${asked ? ", " : ""}kept in the store`),
  ];
}

/** A verdict as a word with its sign, so that colour is never all that tells it. */
export function verdict(value) {
  const words = { pass: ["✓", "passed", "good"], fail: ["✕", "failed", "bad"], unknown: ["?", "not certain", "warn"] };
  const [sign, word, level] = words[value] ?? ["–", "never checked", "warn"];
  return h("span", { class: `mark ${level}` }, h("span", { "aria-hidden": "true" }, sign), ` ${word}`);
}
