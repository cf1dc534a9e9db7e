// The way to each panel, with what waits in it.

import { $, h, show } from "./dom.js";
import { openLines } from "./attention.js";

const PLACES = [["live", "Now"], ["traffic", "Traffic"], ["incidents", "Incidents"], ["approvals", "Approvals"], ["automation", "Automation"],
  ["trials", "Canary and gates"], ["work", "Work"], ["pairs-section", "Pairs"], ["snapshots", "Snapshots"], ["golden", "Golden queries"],
  ["checks", "Checks"], ["compare-section", "Compare"]];
const OF = { incidents: "incidents", approvals: "approvals", policy: "automation", freeze: "automation", drills: "automation", canary: "trials", gates: "trials",
  jobs: "work", proof: "checks", worker: "pairs-section", "way back": "snapshots" };

export function drawNavigation() {
  const waiting = openLines().map((line) => [OF[line.name], line.state]);
  show($("places"), waiting, () => PLACES.map(([id, words]) => {
    const own = waiting.filter(([place]) => place === id);
    const worst = own.some(([, level]) => level === "alert") ? "bad" : "warn";
    return h("li", null, h("a", { href: `#${id}`, "data-key": `place-${id}` }, words,
      own.length ? h("span", { class: `count ${worst}` }, h("span", { class: "unseen" }, " – "), String(own.length), h("span", { class: "unseen" }, " to look at")) : null));
  }));
}
