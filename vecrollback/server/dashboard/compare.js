// One query on two pairs, side by side, and where each document moved.

import { ApiError, post } from "./api.js";
import { $, h, text } from "./dom.js";
import { count, percent } from "./format.js";
import { can, colour, live, state } from "./state.js";

let asked = 0;

export function prepareCompare() {
  $("compare-form").addEventListener("submit", (event) => {
    event.preventDefault();
    compare(new FormData(event.target));
  });
}

/** Offer the pairs that can answer: the live one first, against where a rollback would go. */
export function drawCompare() {
  const form = $("compare-form");
  const names = state.status.pairs.filter((pair) => pair.snapshot).map((pair) => pair.name);
  const allowed = can("operator") && names.length > 1;
  form.querySelector("button").disabled = !allowed;
  if (!allowed) text($("compared"), names.length > 1 ? "Comparing takes an operator’s token." : "Comparing takes two pairs.");
  const target = state.status.rollback.target?.split("@")[0];
  const wanted = { a: live()?.pair ?? names[0], b: target ?? names.find((name) => name !== live()?.pair) };
  for (const select of form.querySelectorAll("select")) {
    if (select.options.length === names.length) continue;
    const chosen = select.value || wanted[select.name];
    select.replaceChildren(...names.map((name) => h("option", { value: name, selected: name === chosen }, name)));
  }
}

async function compare(fields) {
  const turn = ++asked;
  const out = $("compared");
  text(out, "Searching both; the first time they may have to be loaded …");
  try {
    const [a, b] = [fields.get("a"), fields.get("b")];
    const found = await post("/v1/compare", { query: fields.get("query"), a, b, k: Number(fields.get("k")) });
    if (turn === asked) out.replaceChildren(...drawn(found));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (turn === asked) out.replaceChildren(h("p", { class: "problem" }, `${error.message} ${error.hint}`));
  }
}

function drawn(found) {
  const both = found.places.filter((place) => place.a && place.b);
  const same = both.filter((place) => place.a === place.b).length;
  return [
    h("p", { class: "overlap" }, h("strong", null, percent(found.overlap)), ` of the results are in both; ${count(same)} at the same rank, ${count(both.length - same)} moved, ${count(found.places.length - both.length)} in one only.`),
    h("div", { class: "sides" }, side("A", found.a, found.places, "a", "b"), side("B", found.b, found.places, "b", "a")),
  ];
}

function side(letter, result, places, own, other) {
  const rank = new Map(places.map((place) => [key(place), place]));
  const ref = `${result.pair}@${result.snapshot}`;
  const settings = Object.entries(result.settings).map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(", ");
  return h("div", null,
    h("h3", null, h("span", { class: `dot ${colour(result.pair)}`, "aria-hidden": "true" }), `${letter}: ${ref}`),
    h("p", { class: "note" }, settings || "no settings"),
    h("ol", { class: "hits" }, result.hits.map((hit, index) => h("li", null,
      h("span", { class: "rank" }, String(index + 1)),
      h("div", null,
        h("p", null, h("span", { class: "ids" }, hit.id), hit.stale ? h("span", { class: "mark warn" }, " stale") : null),
        h("p", { class: "note chunk" }, hit.text.slice(0, 240))),
      h("div", { class: "moved-by" },
        h("p", null, h("span", { class: "unseen" }, "score "), hit.score.toFixed(3)),
        h("p", { class: "note" }, moved(rank.get(key(hit))[other], rank.get(key(hit))[own])))))));
}

/** What tells a document from one of the same id in another namespace. */
function key(document) {
  return JSON.stringify([document.namespace ?? "", document.id]);
}

/** How this rank differs from the one in the other answer. */
function moved(there, here) {
  if (!there) return "only here";
  if (there === here) return "same rank";
  const up = here < there;
  return [h("span", { "aria-hidden": "true" }, up ? "▲ " : "▼ "), `${there} there`];
}
