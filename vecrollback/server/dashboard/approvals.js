// Moves that wait for people.

import { post } from "./api.js";
import { ask, button } from "./dialog.js";
import { $, facts, h, show } from "./dom.js";
import { ago, plural } from "./format.js";
import { can, state } from "./state.js";

const SHOWN = 5;

export function drawApprovals() {
  const all = state.console?.approvals ?? [];
  const allowed = can("operator");
  show($("approvals-body"), [all, allowed], () => all.length
    ? h("ul", { class: "rows" }, all.slice(0, SHOWN).map((one) => row(one, allowed)))
    : h("p", { class: "empty" }, "No move ever waited for anybody. A policy asks with action = \"approve\", a restore with restore_approvals."));
}

const what = (one) => `${one.kind} to ${one.target ?? "the last fit pair"}`;

function row(one, allowed) {
  const waiting = one.state === "waiting";
  const agreed = one.decisions.filter((each) => each.decision === "approve").map((each) => each.actor);
  return h("li", { class: waiting ? "open" : "" },
    h("div", null,
      h("p", null, h("strong", null, `Request ${one.number}: ${what(one)}`), " ", h("span", { class: `mark ${waiting ? "bad" : ""}` }, one.state)),
      h("p", { class: "reason" }, one.reason),
      h("p", { class: "note" }, `asked by ${one.asked_by}`, " · ", ago(one.at), ` · ${agreed.length} of ${one.needed} agreed${agreed.length ? `: ${agreed.join(", ")}` : ""}`)),
    waiting ? h("div", { class: "buttons" },
      button(`approve-${one.number}`, "Approve …", (event) => approve(event, one), { disabled: !allowed, label: `Approve request ${one.number}` }),
      button(`reject-${one.number}`, "Reject …", (event) => reject(event, one), { disabled: !allowed, label: `Reject request ${one.number}` })) : null);
}

const plan = (one) => h("dl", { class: "facts" }, facts(
  ["Move", what(one)], ["Asked by", one.asked_by], ["Why", one.reason, "broad"],
  ["Measured", one.trigger.metrics?.map((metric) => `${metric.metric} ${metric.value} (fails ${metric.condition})`).join("; "), "broad"],
  ["Agreed", `${one.decisions.filter((each) => each.decision === "approve").length} of ${one.needed}`]));

export function approve(event, one) {
  ask(event, {
    title: `Approve request ${one.number}`, plan: [
      plan(one),
      h("p", null, one.needed - one.decisions.filter((each) => each.decision === "approve").length > 1
        ? "Yours is not the last word: the move waits for the others." : "Yours is the last word: the move is made at once, model and index together. A job then catches up and checks. If live has moved since, nothing happens.")],
    fields: [{ name: "reason", label: "Remark", kind: "area", note: "kept with the request" }], danger: true,
    async run({ reason }) {
      const { approval, switched } = await post(`/v1/approvals/${one.number}`, { decision: "approve", reason, wait: false });
      if (switched) return `${switched.to} is live. Request ${one.number} is done.`;
      return `You agreed; ${plural(approval.needed - approval.decisions.filter((each) => each.decision === "approve").length, "more person is", "more people are")} needed.`;
    },
  });
}

function reject(event, one) {
  ask(event, {
    title: `Reject request ${one.number}`, plan: plan(one), fields: [{ name: "reason", label: "Reason", kind: "area", note: "kept with the request", required: true }],
    async run({ reason }) {
      await post(`/v1/approvals/${one.number}`, { decision: "reject", reason });
      return `Request ${one.number} is rejected; nothing moved.`;
    },
  });
}
