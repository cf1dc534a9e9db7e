// Pointer moves of `live`, newest first: what moved, why, by whom.

import { $, h, show } from "./dom.js";
import { ago, at, count } from "./format.js";
import { colour, liveMoves } from "./state.js";

const SHOWN = 30;
const SIGNS = { promote: "↑", rollback: "↩", restore: "⟲", advance: "→", set: "→" };

export function drawTimeline() {
  const moves = liveMoves().slice(0, SHOWN);
  show($("timeline"), moves.map((move) => [move.number, colour(pairOf(move))]), () => moves.length ? moves.map(entry) : h("li", { class: "empty" }, "Nothing was ever live."));
}

const pairOf = (move) => move.to.slice(0, move.to.lastIndexOf("@"));

function entry(move) {
  return h("li", { class: `${move.kind} ${colour(pairOf(move))}` },
    h("span", { class: "rail", "aria-hidden": "true" }, SIGNS[move.kind]),
    h("div", null,
      h("p", { class: "moved" }, h("span", { class: `kind ${move.kind}` }, move.kind), " ",
        move.from && move.from !== move.to ? [move.from, h("span", { "aria-label": "to" }, " → ")] : null, h("strong", null, move.to)),
      move.reason ? h("p", { class: "reason" }, move.reason) : null,
      h("p", { class: "note" }, move.actor, " · ", at(move.at), " · ", ago(move.at), ` · epoch ${count(move.epoch)}`)));
}
