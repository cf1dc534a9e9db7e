// What watches and acts without a person: the policy with its metrics, the freeze, the drills.

import { post, remove } from "./api.js";
import { ask, button, REASON } from "./dialog.js";
import { $, facts, h, show, table } from "./dom.js";
import { ago, at, duration, plural, sentence } from "./format.js";
import { can, live, state } from "./state.js";

const SIGNS = { success: ["✓", "good", "well"], failure: ["✕", "bad", "fails"], inconclusive: ["?", "warn", "not conclusive"] };
const CHAOS = [["", "nothing: the plain way back"], ["searcher-hung", "a searcher that hangs"], ["files-gone", "files that are gone"],
  ["model-unloadable", "a model that cannot be loaded"], ["catalog-slow", "a slow catalog"], ["foreign-vectors", "foreign vectors"], ["disk-full", "a full disk"]];

export function drawPolicy() {
  const told = state.console?.policy;
  show($("policy-body"), told, () => {
    if (!told) return h("p", { class: "empty" }, "Not read yet.");
    if (told.trouble) return h("p", { class: "problem" }, told.trouble);
    if (!told.policy) return h("p", { class: "empty" }, "No policy: nothing is watched, nothing moves by itself. ", h("code", null, "[policy]"), " in vecrollback.toml makes one.");
    return [h("p", { class: "note" }, lead(told.policy)), metrics(told)];
  });
}

function lead(policy) {
  const acts = policy.automatic ? `It rolls back by itself within ${duration(policy.window)} after a promote.` : "It moves nothing by itself.";
  const channels = policy.channels.length ? `It tells ${policy.channels.join(", ")}.` : "It tells nobody: no channel is set.";
  return `${acts} ${channels} Measured every ${policy.interval < 60 ? `${policy.interval} s` : duration(policy.interval)}.`;
}

function metrics({ policy, metrics: standing }) {
  const by = new Map(standing.map((one) => [one.metric, one]));
  return table("Metrics of the policy", [["Metric"], ["Now"], ["Value", "number"], ["Fails"], ["Then"], ["Coverage"]], policy.metrics.map((rule) => {
    const seen = by.get(rule.name);
    const [sign, level, word] = SIGNS[seen?.phase] ?? ["–", "warn", "not measured yet"];
    return [rule.name, [h("span", { class: `mark ${level}` }, h("span", { "aria-hidden": "true" }, sign), ` ${word}`), seen ? h("div", { class: "note" }, ago(new Date(seen.at * 1000).toISOString())) : null],
      seen?.value === null || seen?.value === undefined ? "–" : Number(seen.value.toPrecision(4)).toString(), h("span", { class: "whole" }, rule.failure), rule.action,
      seen ? coverage(seen) : "–"];
  }));
}

const coverage = (seen) => seen.said || `${plural(seen.sample, "answer")} seen`;

export function drawFreeze() {
  const freeze = state.console?.freeze;
  const allowed = can("operator");
  show($("freeze-body"), [freeze, allowed], () => [
    freeze
      ? [h("p", null, h("span", { class: "mark warn" }, "held back"), ` by ${freeze.actor}`, " · ", ago(freeze.at)), h("p", { class: "reason" }, freeze.reason),
        h("p", { class: "note" }, freeze.until ? ["until ", at(freeze.until)] : "until somebody lifts it")]
      : h("p", null, "Automation may act. A freeze lets it move nothing; people still can."),
    h("div", { class: "buttons" }, freeze
      ? button("unfreeze", "Lift the freeze …", unfreeze, { disabled: !allowed }) : button("freeze", "Freeze automation …", freezeNow, { disabled: !allowed }))]);
}

function freezeNow(event) {
  ask(event, {
    title: "Freeze automation", plan: h("p", null, "No policy and no worker moves live until the freeze ends. Whoever moves it by hand is told of it."),
    fields: [REASON, { name: "until", label: "Until", kind: "datetime-local", note: "your time; empty: until it is lifted" }],
    async run({ reason, until }) {
      await post("/v1/freeze", { reason, until: until ? new Date(until).toISOString() : null });
      return "Automation moves nothing now.";
    },
  });
}

export function unfreeze(event) {
  ask(event, {
    title: "Lift the freeze", plan: h("p", null, `Automation may act again. It was held back: ${state.console?.freeze?.reason ?? ""}`),
    async run() {
      const { was_frozen: was } = await remove("/v1/freeze");
      return was ? "Automation may act again." : "It was lifted already.";
    },
  });
}

export function drawDrills() {
  const drills = state.console?.drills ?? [];
  const allowed = can("operator");
  show($("drills-body"), [drills, allowed, live()?.epoch], () => [
    drills.length ? drills.slice(0, 4).map(drill) : h("p", { class: "empty" }, "The way back was never rehearsed."),
    h("div", { class: "buttons" }, button("drill", "Rehearse …", rehearse, { disabled: !allowed || !live() }))]);
}

function drill(one) {
  const [sign, level, word] = { pass: ["✓", "good", "passed"], fail: ["✕", "bad", "failed"] }[one.verdict] ?? ["?", "warn", one.verdict];
  return h("details", { "data-key": `drill-${one.number}` },
    h("summary", { "data-key": `drill-summary-${one.number}` }, h("span", { class: `mark ${level}` }, h("span", { "aria-hidden": "true" }, sign), ` ${word}`), ` ${one.source} → ${one.target}${one.chaos ? ` with ${one.chaos}` : ""} · `, ago(one.at)),
    one.said ? h("p", null, sentence(one.said)) : null,
    one.phases.length ? table(`Steps of drill ${one.number}`, [["Step"], ["Seconds", "number"], ["Limit", "number"], ["What happened"]],
      one.phases.map((phase) => [phase.name, phase.seconds.toFixed(2), phase.limit === null ? "–" : String(phase.limit), [h("span", { class: `mark ${phase.ok ? "good" : "bad"}` }, phase.ok ? "ok" : "not ok"), phase.said ? ` ${phase.said}` : ""]])) : null);
}

export function rehearse(event) {
  ask(event, {
    title: "Rehearse a rollback", plan: [h("p", null, "Real processes query a scratch pointer of the same files while it moves as live would. Nothing that serves is touched; it takes some seconds of this machine."),
      h("dl", { class: "facts" }, facts(["It would go to", state.status?.rollback.target ?? "nowhere: the drill says why", "broad"]))],
    fields: [{ name: "chaos", label: "Break on purpose", kind: "choice", note: "in a copy of the store", options: CHAOS }],
    async run({ chaos }) {
      await post("/v1/drills", { chaos });
      return "A job rehearses the rollback.";
    },
  });
}
