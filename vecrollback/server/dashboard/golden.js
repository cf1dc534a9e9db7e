// Queries whose right answers are known: what pairs are measured by.

import { post, remove } from "./api.js";
import { ask, button } from "./dialog.js";
import { $, h, show, table } from "./dom.js";
import { ago, plural } from "./format.js";
import { can, state } from "./state.js";

const SHOWN = 10;

export function drawGolden() {
  const { queries = [], total = 0 } = state.console?.golden ?? {};
  const allowed = can("operator");
  show($("golden-body"), [queries, total, allowed], () => [
    queries.length ? table("Golden queries", [["Query"], ["Right documents"], ["Tags"], ["Kept"], ["Action"]], queries.toReversed().slice(0, SHOWN).map((one) => [
      one.text.slice(0, 120), h("span", { class: "ids" }, Object.entries(one.expected).map(([id, grade]) => `${id}=${grade}`).join(", ") || "–"), one.tags.join(", ") || "–",
      [ago(one.created_at), h("div", { class: "note" }, one.created_by)],
      button(`golden-remove-${one.id}`, "Remove …", (event) => removeGolden(event, one), { disabled: !allowed, label: `Remove the golden query ${one.text.slice(0, 60)}` })]))
      : h("p", { class: "empty" }, "None yet. With some, gates, the policy and drills can measure quality, also without traffic."),
    total > SHOWN ? h("p", { class: "note" }, `The newest ${SHOWN} of ${plural(total, "query", "queries")}.`) : null,
    h("div", { class: "buttons" }, button("golden-add", "Add a golden query …", (event) => addGolden(event), { disabled: !allowed }))]);
}

/** "tea=2, mate" as {tea: 2, mate: 1}. */
const graded = (words) => Object.fromEntries(words.split(/[,\n]/).map((one) => one.trim()).filter(Boolean).map((one) => {
  const found = /^(.*)=(\d+)$/s.exec(one);
  return found ? [found[1].trim(), Number(found[2])] : [one, 1];
}));

export function addGolden(event, tag = "") {
  ask(event, {
    title: "Add a golden query", plan: h("p", null, "From now on pairs are measured by it too."),
    fields: [{ name: "text", label: "Query", required: true }, { name: "expected", label: "Right documents", note: "their ids, ID or ID=GRADE, with commas between", required: true },
      { name: "tags", label: "Tags", value: tag, note: "with commas between" }],
    async run({ text, expected, tags }) {
      const kept = await post("/v1/golden", { text, expected: graded(expected), tags: tags.split(",").map((one) => one.trim()).filter(Boolean) });
      return `Kept, with ${plural(Object.keys(kept.expected).length, "right document")}.`;
    },
  });
}

function removeGolden(event, one) {
  ask(event, {
    title: "Remove a golden query", plan: h("p", null, "Pairs are not measured by it any more: ", h("strong", null, one.text.slice(0, 300))),
    async run() {
      await remove(`/v1/golden/${encodeURIComponent(one.id)}`);
      return "The query is forgotten.";
    },
  });
}
