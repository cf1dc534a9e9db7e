// Going forward: gates, promote, and a pair tried on part of the traffic.

import { ApiError, get, post } from "./api.js";
import { ask, button, REASON, refusal } from "./dialog.js";
import { $, facts, h, show, table } from "./dom.js";
import { behind, checked, duration, modelState, percent } from "./format.js";
import { can, lastReport, live, look, state } from "./state.js";

const STANDING = { better: ["✓", "good"], worse: ["✕", "bad"], undecided: ["?", "warn"] };
let looked = null;

const mark = ([sign, level], words) => h("span", { class: `mark ${level}` }, h("span", { "aria-hidden": "true" }, sign), ` ${words}`);

/** Pairs that could be tried or promoted. */
export const candidates = () => (state.status?.pairs ?? []).filter((pair) => pair.snapshot && !["live", "building", "retired"].includes(pair.state));

export function drawCanary() {
  const running = state.console?.canary.running;
  const allowed = can("operator");
  const pairs = candidates().map((pair) => pair.name);
  show($("canary-body"), [running && { ...running, baked: Math.floor(running.baked / 5) }, allowed, pairs], () => running ? tried(running, allowed) : [
    h("p", { class: "empty" }, pairs.length ? "No pair is tried." : "No pair is tried, and there is none that could be: build one with vecrollback reembed MODEL."),
    h("div", { class: "buttons" }, button("canary-start", "Try a pair …", startCanary, { disabled: !allowed || !pairs.length || !live() }))]);
}

function tried(now, allowed) {
  const run = now.canary;
  const steps = run.policy.steps ?? [];
  const left = Math.max(0, now.bake_seconds - now.baked);
  return [
    h("p", null, h("strong", null, run.pair), ` against ${run.baseline}: `, mark(STANDING[now.standing], now.standing)),
    h("ol", { class: "stairs", "aria-label": "Steps of the canary" }, [run.shadow ? "shadow" : null, ...steps.map((share) => `${share} %`)].filter(Boolean).map((words, place) => {
      const at = run.shadow ? place : place + 1;
      return h("li", { class: at < run.step ? "past" : at === run.step ? "now" : "", "aria-current": at === run.step ? "step" : null }, words);
    })),
    h("p", { class: "note" }, run.step ? `${percent(run.share / 100)} of the callers` : `${percent(run.shadow / 100)} of the queries, answers only compared`, left > 0 ? ` · ${duration(left)} until the next step may come` : " · its time at this step is over"),
    now.judgements.length ? table("What the test says", [["Measure"], ["Standing"], ["What was measured"]], now.judgements.map((one) => [one.measure, mark(STANDING[one.standing], one.standing), one.sentence])) : null,
    h("div", { class: "buttons" },
      button("canary-advance", now.next_share === null ? "Promote it …" : `Advance to ${now.next_share} % …`, (event) => now.next_share === null
        ? promote(event, state.status.pairs.find((pair) => pair.name === run.pair)) : advance(event, now), { disabled: !allowed }),
      button("canary-stop", "Stop …", stopCanary, { disabled: !allowed, danger: true, label: "Stop the canary" }))];
}

function startCanary(event) {
  const pairs = candidates();
  ask(event, {
    title: "Try a pair", plan: h("p", null, `It answers beside ${live().pair}, or for a first share of the callers; [canary] in vecrollback.toml says which. Everybody else is answered by ${live().pair}.`),
    fields: [{ name: "pair", label: "Pair", kind: "choice", options: pairs.map((pair) => [pair.name, `${pair.name} · ${pair.state} · ${behind(pair.lag)}`]) },
      { ...REASON, required: false }, { name: "override", label: "Override", kind: "check", note: "although it is quarantined or its check does not pass; needs a reason" }],
    async run({ pair, reason, override }) {
      const { canary } = await post("/v1/canary", { pair, reason, override });
      return `${canary.pair} is tried.`;
    },
  });
}

function advance(event, now) {
  ask(event, {
    title: `Advance ${now.canary.pair} to ${now.next_share} %`, plan: [h("p", null, `${now.next_share} % of the callers are answered by ${now.canary.pair} from their next query on.`),
      now.standing === "better" ? null : h("p", { class: "note" }, `The test says ${now.standing}: without an override this is refused.`)],
    fields: [{ ...REASON, required: false }, { name: "override", label: "Override", kind: "check", note: "before its time is over, or without the test’s word; needs a reason" }],
    async run({ reason, override }) {
      const { canary } = await post("/v1/canary/advance", { reason, override, expected_step: now.canary.step });
      return `${canary.pair} answers ${canary.share} % of the callers.`;
    },
  });
}

export function stopCanary(event) {
  const run = state.console?.canary.running?.canary;
  if (!run) return look();
  return ask(event, {
    title: "Stop the canary", plan: h("p", null, `From the next query on ${run.baseline} answers everybody again. ${run.pair} stays as it is.`), fields: [REASON], danger: true,
    async run({ reason }) {
      await post("/v1/canary/stop", { reason });
      return `${run.pair} is not tried any more; ${run.baseline} answers everybody.`;
    },
  });
}

export function drawGates() {
  const allowed = can("operator");
  const pairs = candidates();
  const chosen = looked && pairs.some((pair) => pair.name === looked.pair) ? looked : null;
  show($("gates-body"), [pairs, allowed, chosen], () => [
    pairs.length ? h("ul", { class: "rows" }, pairs.map((pair) => h("li", null,
      h("div", null, h("strong", null, pair.name), " ", h("span", { class: `state ${pair.state}` }, pair.state), h("div", { class: "note" }, behind(pair.lag))),
      h("div", { class: "buttons" },
        button(`gates-${pair.name}`, "Look at gates", () => lookAt(pair.name), { disabled: !allowed, label: `Look at gates of ${pair.name}` }),
        button(`promote-${pair.name}`, "Promote …", (event) => promote(event, pair), { disabled: !allowed, label: `Promote ${pair.name}` })))))
      : h("p", { class: "empty" }, "No other pair could be promoted. Build one: vecrollback reembed MODEL."),
    chosen ? outcome(chosen) : null]);
}

async function lookAt(pair) {
  looked = { pair, waiting: true };
  look();
  try {
    looked = { pair, verdict: await get(`/v1/gates?pair=${encodeURIComponent(pair)}`) };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    looked = { pair, problem: refusal(error) };
  }
  look();
}

function outcome({ pair, waiting, problem, verdict }) {
  if (waiting) return h("p", { role: "status" }, `Looking at the gates of ${pair} …`);
  if (problem) return h("p", { class: "problem" }, problem);
  return h("div", { id: "gates-outcome" },
    h("p", null, mark(verdict.passed ? ["✓", "good"] : ["✕", "bad"], verdict.passed ? `${pair} passes every gate` : `${pair} does not pass`)),
    gateTable(verdict.outcomes));
}

const GATES = { pass: ["✓", "good"], fail: ["✕", "bad"], unknown: ["?", "warn"] };
const gateTable = (outcomes) => table("Gates", [["Gate"], ["Outcome"], ["What was measured"]], outcomes.map((one) => [one.gate, mark(GATES[one.outcome], one.outcome), one.sentence]));

export function promote(event, pair) {
  const report = lastReport(pair.name);
  const epoch = live()?.epoch ?? 0;
  ask(event, {
    title: `Promote ${pair.name}`, plan: [
      h("ol", { class: "plan" },
        h("li", null, pair.lag ? `${pair.name} is ${behind(pair.lag)}: it is caught up first.` : `${pair.name} is up to date.`),
        h("li", null, "It is checked, and its gates are looked at, the way back among them."),
        h("li", null, "Every searcher loads it; only then live moves, model and index together."),
        live() ? h("li", null, `${live().pair} stands by, so that a rollback takes one click.`) : null),
      h("dl", { class: "facts" }, facts(["Last check", checked(report, pair.checked)], ["Model", modelState(pair.model)], ["Epoch", `${epoch} becomes ${epoch + 1}`])),
      pair.state === "quarantined" ? h("p", { class: "problem" }, `It was rolled back from: ${pair.reason}. It takes an override.`) : null],
    fields: [REASON, { name: "override", label: "Override", kind: "check", note: "pass quarantine, check and gates; this stands in the history" }],
    async run({ reason, override }) {
      await post("/v1/promote", { pair: pair.name, reason, override, wait: false });
      return `A job promotes ${pair.name}.`;
    },
  });
}
