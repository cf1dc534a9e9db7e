// What a person has to look at: the open lines of the situation, the worst first, each with its next step.

import { post } from "./api.js";
import { approve } from "./approvals.js";
import { rehearse, unfreeze } from "./automation.js";
import { act, button } from "./dialog.js";
import { $, h, show } from "./dom.js";
import { behind, sentence } from "./format.js";
import { closeIncident } from "./incidents.js";
import { can, live, pairRow, state } from "./state.js";
import { promote, stopCanary } from "./trials.js";

const ORDER = ["ok", "note", "unknown", "alert"];
const SIGNS = { ok: ["✓", "good"], note: ["i", "warn"], unknown: ["?", "warn"], alert: ["!", "bad"] };
const SHOWN = 4;
const SHOWN_NARROW = 2;
const narrow = matchMedia("(max-width: 34rem)");

/** Lines that are not well, the worst first. */
export const openLines = () => (state.situation?.lines ?? []).filter((line) => line.state !== "ok")
  .sort((a, b) => ORDER.indexOf(b.state) - ORDER.indexOf(a.state));

export function drawAttention() {
  const lines = state.failed && !state.lost ? [] : openLines();
  const busy = (state.status?.jobs ?? []).filter((job) => job.state === "running").map((job) => [job.kind, job.pair]);
  const room = narrow.matches ? SHOWN_NARROW : SHOWN;
  // What the steps are made of comes with other readings than the lines, a moment later.
  const steps = lines.map((line) => next(line)?.textContent);
  const seen = [lines, steps, room, busy, can("operator"), state.console?.approvals, state.console?.incidents];
  show($("attention"), seen, () => [
    lines.slice(0, room).map(row),
    lines.length > room ? h("li", { class: "rest" }, h("details", { "data-key": "rest" },
      h("summary", { "data-key": "rest-summary" }, `${lines.length - room} more`),
      h("ul", { class: "attention" }, lines.slice(room).map(row)))) : null,
  ]);
}

function row(line) {
  const [sign, level] = SIGNS[line.state];
  const step = can("operator") ? next(line) : null;
  return h("li", { class: level, "data-line": line.name },
    h("span", { class: "badge", "aria-hidden": "true" }, sign),
    h("div", null, h("strong", null, sentence(line.name)), ` ${line.sentence}`,
      !step && line.command ? h("div", { class: "note" }, h("code", null, line.command)) : null),
    step ? h("div", { class: "step" }, step) : null);
}

const to = (id, words) => h("a", { href: `#${id}`, class: "step-link" }, words);
const stands = (pair) => pair.state === "live" || pair.state === "standby";

/** What to press for a line. Null where the page has nothing: then its command stands there. */
function next(line) {
  const key = `next-${line.name.replaceAll(" ", "-")}`;
  return NEXT[line.name]?.(line, key) ?? null;
}

const NEXT = {
  live(line, key) {
    const pair = live() && pairRow(live().pair);
    if (pair?.lag) return catchUp(pair, key);
    const ready = state.status?.pairs.find((one) => one.snapshot && one.state === "ready");
    return !live() && ready ? button(key, `Promote ${ready.name} …`, (event) => promote(event, ready)) : null;
  },
  proof: (line, key) => line.state !== "alert" && live() ? check(live().pair, key) : live() ? repair(live().pair, key) : null,
  model(line, key) {
    const silent = state.status?.pairs.find((pair) => stands(pair) && pair.model.answers === "fail");
    return silent ? button(key, `Ask ${silent.name} again`, () => act(async () => {
      const answer = await post("/v1/ask-model", { pair: silent.name });
      return answer.verdict === "pass" ? `The model of ${silent.name} answers.` : `The model of ${silent.name} does not answer: ${answer.said}`;
    })) : null;
  },
  gates: () => to("trials", "See gates"),
  "way back": () => to("snapshots", "See snapshots"),
  canary: (line, key) => line.state === "alert" ? button(key, "Stop the canary …", stopCanary, { danger: true }) : to("trials", "See canary"),
  freeze: (line, key) => button(key, "Lift the freeze …", unfreeze),
  approvals(line, key) {
    const request = state.console?.approvals.filter((one) => one.state === "waiting").at(-1);
    return request ? button(key, `Decide request ${request.number} …`, (event) => approve(event, request)) : to("approvals", "See requests");
  },
  incidents(line, key) {
    const open = state.console?.incidents.filter((one) => one.state === "open" && one.nature === "failure") ?? [];
    const unproven = open.find((one) => one.verdict !== "pass");
    if (unproven) return unproven.verdict ? repair(unproven.target.split("@")[0], key) : check(unproven.target.split("@")[0], key);
    return open.length ? button(key, `Close incident ${open.at(-1).number} …`, (event) => closeIncident(event, open.at(-1))) : to("incidents", "See incidents");
  },
  policy: () => to("automation", "See policy"),
  jobs: () => to("work", "See jobs"),
  drills: (line, key) => button(key, "Rehearse now …", rehearse),
  worker(line, key) {
    const pair = state.status?.pairs.find((one) => stands(one) && one.lag);
    return pair ? catchUp(pair, key) : null;
  },
};

export const catchUp = (pair, key, words = `Catch up ${pair.name}`) => button(key, words, () => act(async () => {
  await post("/v1/catch-up", { pair: pair.name });
  return `${pair.name} is ${behind(pair.lag)}; a job brings it up to date.`;
}), { label: `Catch up ${pair.name}`, disabled: running(pair.name, ["bring-up-to-date", "catch-up"]) });

export const check = (name, key, words = `Check ${name}`) => button(key, words, () => act(async () => {
  await post("/v1/check", { pair: name, wait: false });
  return `A job checks ${name}.`;
}), { label: `Check ${name}`, disabled: running(name, ["check"]) });

export const repair = (name, key, words = `Repair ${name}`) => button(key, words, () => act(async () => {
  await post("/v1/repair", { pair: name });
  return `A job checks ${name} and embeds again what is wrong.`;
}), { label: `Repair ${name}`, disabled: running(name, ["mend", "repair"]) });

const running = (name, kinds) => state.status?.jobs.some((job) => job.pair === name && job.state === "running" && kinds.includes(job.kind)) ?? false;
