// Versions that can be served again: take, name, restore, and what a restore would do.

import { ApiError, post, remove } from "./api.js";
import { ask, button, REASON, refusal, tell } from "./dialog.js";
import { $, facts, h, show, table } from "./dom.js";
import { ago, at, behind, count, plural } from "./format.js";
import { can, live, state } from "./state.js";

const SHOWN = 12;

export function drawSnapshots() {
  const all = [...(state.console?.snapshots ?? [])].sort((a, b) => b.created_at.localeCompare(a.created_at));
  const allowed = can("operator");
  const here = live() ? `${live().pair}@${live().snapshot}` : "";
  const built = state.status?.pairs.some((pair) => pair.snapshot);
  show($("snapshots-body"), [all, allowed, here, built], () => [
    all.length ? table("Snapshots", [["Snapshot"], ["Taken"], ["Chunks", "number"], ["Up to change", "number"], ["Names"], ["Action"]], all.slice(0, SHOWN).map((one) => [
      [one.ref, one.ref === here ? h("span", { class: "mark good" }, " live") : null], [at(one.created_at), h("div", { class: "note" }, ago(one.created_at))], count(one.chunks), count(one.watermark),
      one.tags.length ? one.tags.map((name) => h("span", { class: "tag" }, name, h("button", { type: "button", class: "quiet tiny", "data-key": `untag-${name}`, disabled: !allowed, "aria-label": `Remove the name ${name}`, onclick: (event) => untag(event, name, one) }, "×"))) : "–",
      h("div", { class: "buttons" },
        button(`restore-${one.ref}`, "Restore …", (event) => restore(event.currentTarget, one), { disabled: !allowed || one.ref === here, label: `Restore ${one.ref}` }),
        button(`tag-${one.ref}`, "Name …", (event) => tag(event, one), { disabled: !allowed, label: `Name ${one.ref}` }))])) : h("p", { class: "empty" }, "No snapshot yet."),
    all.length > SHOWN ? h("p", { class: "note" }, `The newest ${SHOWN} of ${plural(all.length, "snapshot")}.`) : null,
    h("div", { class: "buttons" }, button("snapshot-take", "Take a snapshot …", take, { disabled: !allowed || !built }))]);
}

/** The server's own dry run comes first: what would serve, how old it is, who has to agree, what stands in the way. */
async function restore(opener, one) {
  let plan;
  try {
    plan = await post("/v1/restore", { ref: one.ref, dry_run: true });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return tell(refusal(error));
  }
  return ask({ currentTarget: opener }, {
    title: `Restore ${plan.target}`, danger: true,
    plan: [
      h("ol", { class: "plan" },
        h("li", null, `live moves from ${plan.live ?? "nowhere"} to `, h("strong", null, plan.target), ", exactly as it was taken. ", plural(plan.searchers, "searcher follows", "searchers follow"), "."),
        h("li", null, plan.lag ? `It is ${behind(plan.lag)}; a job takes them in while it serves. What was deleted stays deleted.` : "It is up to date."),
        plan.approvals ? h("li", null, `${plural(plan.approvals, "person has", "people have")} to agree first: this becomes a request.`) : null),
      h("dl", { class: "facts" }, facts(["Taken", [at(plan.taken_at), h("div", { class: "note" }, ago(plan.taken_at))]], ["Up to change", count(plan.watermark)], ["Epoch", `${plan.epoch} becomes ${plan.epoch + 1}`])),
      plan.obstacle ? h("p", { class: "problem" }, `It would be refused: ${plan.obstacle}`) : null],
    fields: [REASON, { name: "planned", label: "Planned", kind: "check", note: "nothing is wrong with what is left" },
      { name: "override", label: "Override", kind: "check", note: "also while its model does not answer" }],
    async run({ reason, planned, override }) {
      const done = await post("/v1/restore", { ref: plan.target, reason, planned, override, expected_epoch: plan.epoch });
      return `Restored: ${done.to} is live, ${done.searchers.acknowledged} of ${plural(done.searchers.expected, "searcher")} acknowledged.`;
    },
  });
}

function tag(event, one) {
  ask(event, {
    title: `Name ${one.ref}`, plan: h("p", null, "A snapshot with a name is kept by every prune."), fields: [{ name: "name", label: "Name", required: true }],
    async run({ name }) {
      await post("/v1/snapshots/tags", { name, ref: one.ref });
      return `${name} means ${one.ref} now.`;
    },
  });
}

function untag(event, name, one) {
  ask(event, {
    title: `Remove the name ${name}`, plan: h("p", null, `${one.ref} stays until a prune or somebody deletes it.`),
    async run() {
      await remove(`/v1/snapshots/tags/${encodeURIComponent(name)}`);
      return `The name ${name} is gone.`;
    },
  });
}

function take(event) {
  const pairs = state.status.pairs.filter((pair) => pair.snapshot);
  ask(event, {
    title: "Take a snapshot", plan: h("p", null, "It costs what changed since the last one of the pair."),
    fields: [{ name: "pair", label: "Pair", kind: "choice", value: live()?.pair, options: pairs.map((pair) => [pair.name, `${pair.name} · ${behind(pair.lag)}`]) }],
    async run({ pair }) {
      const taken = await post("/v1/snapshots", { pair });
      return `Took ${taken.ref}.`;
    },
  });
}
