// Records of rollbacks: what happened, how much it touched, whether it is proved, and closing them.

import { post } from "./api.js";
import { ask, button } from "./dialog.js";
import { $, facts, h, show } from "./dom.js";
import { ago, at, count, ms, percent, plural, verdict } from "./format.js";
import { addGolden } from "./golden.js";
import { can, state } from "./state.js";

const SHOWN = 5;
const STEPS = [["began", "became live"], ["detected", "first sign"], ["decided", "ordered"], ["switched", "moved"],
  ["acknowledged", "last searcher followed"], ["caught_up", "caught up"], ["verified", "check ended"]];

export function drawIncidents() {
  const all = state.console?.incidents ?? [];
  const allowed = can("operator");
  show($("incidents-body"), [all, allowed], () => all.length
    ? all.slice(0, SHOWN).map((one) => entry(one, allowed, one === all.find((each) => each.state === "open")))
    : h("p", { class: "empty" }, "No rollback yet, so no incident."));
}

/** The newest open incident stands open. */
function entry(one, allowed, unfolded) {
  const open = one.state === "open";
  return h("details", { "data-key": `incident-${one.number}`, open: unfolded },
    h("summary", { "data-key": `incident-summary-${one.number}` },
      h("span", { class: `mark ${open && one.nature === "failure" ? "bad" : ""}` }, open ? "open" : "closed"), " ",
      h("strong", null, `Incident ${one.number}: ${one.source} → ${one.target}`), " · ", ago(one.timeline.switched), one.nature === "failure" ? "" : ` · ${one.nature.replace("_", " ")}`),
    h("p", { class: "summary" }, told(one)),
    h("dl", { class: "facts" }, facts(
      ["Check after it", one.verdict ? verdict(one.verdict) : "not yet"],
      ["Answers of the bad pair", one.nature === "failure" ? count(one.blast.answers) : "none bad"],
      ["Switch", one.switch_ms === null ? null : ms(one.switch_ms)],
      ["Probe queries now", one.post_check && `${one.post_check.same} of ${one.post_check.queries} as recorded, overlap ${percent(one.post_check.overlap)}`],
      ["Cause", one.notes.cause, "broad"], ["Trouble", one.trouble, "broad"])),
    h("ol", { class: "steps" }, STEPS.filter(([name]) => one.timeline[name]).map(([name, words]) => h("li", null, at(one.timeline[name]), ` ${words}`))),
    h("div", { class: "buttons" },
      open ? button(`close-${one.number}`, "Close …", (event) => closeIncident(event, one), { disabled: !allowed, label: `Close incident ${one.number}` }) : null,
      button(`golden-${one.number}`, "Add a query that failed …", (event) => addGolden(event, `incident-${one.number}`), { disabled: !allowed, label: `Add a query that failed in incident ${one.number}` })));
}

/** What the incident was, as one sentence. */
function told(one) {
  const why = one.trigger.metrics?.length
    ? `the policy measured ${one.trigger.metrics.map((metric) => `${metric.metric} ${metric.value} (fails ${metric.condition})`).join(", ")}` : one.reason;
  const bad = one.nature === "failure" ? `; ${plural(one.blast.answers, "answer")} of ${one.blast.pair} stood in between` : "";
  return `${one.actor} moved live from ${one.source} to ${one.target}: ${why}${bad}.`;
}

export function closeIncident(event, one) {
  ask(event, {
    title: `Close incident ${one.number}`, plan: [h("p", null, told(one)), h("p", { class: "note" }, "A closed incident changes no more. The pair that was left stays quarantined.")],
    fields: [
      { name: "cause", label: "Cause", kind: "area", note: "what it was", required: true },
      { name: "nature", label: "It was", kind: "choice", value: one.nature, options: [["failure", "a failure: its answers were bad"], ["false_alarm", "a false alarm: the pair was well"], ["planned", "planned: nothing was wrong"]] },
    ],
    async run({ cause, nature }) {
      await post(`/v1/incidents/${one.number}/close`, { cause, nature });
      return `Incident ${one.number} is closed.`;
    },
  });
}
