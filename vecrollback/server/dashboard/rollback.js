// The rollback: a plan that is frozen when the dialog opens, a reason, one request, and what came of it.

import { ApiError, post } from "./api.js";
import { tell } from "./dialog.js";
import { $, facts, h, show, text } from "./dom.js";
import { behind, checked, count, modelState, ms, plural } from "./format.js";
import { forget, lastReport, live, look, pairRow, state } from "./state.js";
import { jobNow } from "./work.js";

let plan = null;
let outcome = null;

export function prepareRollback() {
  const dialog = $("rollback-dialog");
  $("rollback").addEventListener("click", open);
  $("rollback-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("cancel", (event) => plan?.sent && event.preventDefault());
  dialog.addEventListener("close", () => { plan = null; });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
}

const nameOf = (ref) => ref.slice(0, ref.lastIndexOf("@"));

function open() {
  const pointer = live();
  const target = state.status.rollback.target;
  plan = { from: `${pointer.pair}@${pointer.snapshot}`, to: target, epoch: pointer.epoch, sent: false };
  $("rollback-reason").value = "";
  text($("rollback-problem"), "");
  text($("rollback-title"), `Roll back to ${target}`);
  text($("rollback-confirm"), `Roll back to ${target}`);
  $("rollback-plan").replaceChildren(...planned(plan));
  busy(false);
  $("rollback-dialog").showModal();
  $("rollback-reason").focus();
}

function planned({ from, to, epoch }) {
  const [target, current] = [pairRow(nameOf(to)), pairRow(nameOf(from))];
  const report = lastReport(target.name);
  const searchers = state.status.searchers.length;
  const warm = target.state === "standby" ? "at once: it is held open already, and no query is dropped." : "as soon as it is loaded there.";
  return [
    h("p", null, h("strong", null, "What will happen")),
    h("ol", { class: "plan" },
      h("li", null, h("strong", null, "live"), ` moves from ${from} to `, h("strong", null, to), `, model and index together. ${searchers ? `${plural(searchers, "searcher")} ${searchers === 1 ? "follows" : "follow"} ${warm}` : "No searcher runs that would follow."}`),
      h("li", null, `${current.name} is quarantined: promoting it again takes an override.`),
      h("li", null, target.lag
        ? `${target.name} is ${behind(target.lag)}. It serves at once; documents changed since then answer with their old vector, marked stale, until a job has caught up. Deleted ones are gone from the first query.`
        : `${target.name} is up to date.`),
      h("li", null, `A job then checks ${target.name} and keeps the report.`)),
    h("dl", { class: "facts" }, facts(
      ["Target’s last check", checked(report, target.checked)],
      ["Target’s lag", behind(target.lag)],
      ["Target’s model", modelState(target.model)],
      ["Epoch", `${count(epoch)} becomes ${count(epoch + 1)}`])),
  ];
}

function busy(on) {
  for (const id of ["rollback-confirm", "rollback-cancel", "rollback-reason"]) $(id).disabled = on;
  if (on) text($("rollback-confirm"), "Moving the pointer …");
}

async function send() {
  const reason = $("rollback-reason").value.trim();
  if (!reason) {
    text($("rollback-problem"), "Say why: the next person reads it in the history.");
    $("rollback-reason").focus();
    return;
  }
  plan.sent = true;
  text($("rollback-problem"), "");
  busy(true);
  try {
    // Target and epoch as the dialog said them: should somebody have moved `live` meanwhile, nothing happens.
    const done = await post("/v1/rollback", { to: nameOf(plan.to), reason, expected_epoch: plan.epoch });
    outcome = { done, reason };
    $("rollback-dialog").close();
    forget();
    announce(done);
    drawOutcome();
    $("outcome").focus();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    plan.sent = false;
    busy(false);
    text($("rollback-confirm"), `Roll back to ${plan.to}`);
    text($("rollback-problem"), refusal(error));
    $("rollback-cancel").focus();
  }
  look();
}

function refusal(error) {
  if (error.type === "AliasMovedError") return "Nothing was moved: somebody else switched while this was open. Close it, look again, then decide.";
  if (error.status === 0) return "No answer came. It may have happened all the same: close this and look at what is live.";
  return `Nothing was moved: ${error.message}${error.hint ? ` (${error.hint})` : ""}`;
}

function announce(done) {
  const { expected, acknowledged, missing } = done.searchers;
  tell(`Rolled back. ${done.to} is live after ${ms(done.switch_ms)}. ${acknowledged} of ${plural(expected, "searcher")} acknowledged${missing.length ? `; not heard from: ${missing.join(", ")}` : ""}.`);
}

/** The result stays until the page is left; its catch-up and check fill in as the job goes on. */
export function drawOutcome() {
  if (!outcome) return;
  const { done, reason } = outcome;
  const node = $("outcome");
  const job = done.job && state.status ? jobNow(done.job) : null;
  const report = lastReport(nameOf(done.to));
  const proven = report && report.at > movedAt(done) ? report : null;
  const { expected, acknowledged, missing } = done.searchers;
  node.hidden = false;
  node.dataset.level = proven && proven.verdict !== "pass" ? "bad" : missing.length || done.trouble ? "warn" : "good";
  text($("outcome-title"), `Rolled back: ${done.to} is live`);
  show($("outcome-body"), [done, job, proven?.at, proven?.verdict], () => [
    h("dl", { class: "facts" }, facts(
      ["Switch", `${ms(done.switch_ms)} from the decision to the last searcher`],
      ["Searchers", `${acknowledged} of ${expected} acknowledged`],
      ["Not heard from", missing.join(", ")],
      ["Catch-up", catchUp(done, job, proven)],
      ["Check", proven ? checked(proven) : "after the catch-up"],
      ["Left", done.from && `${done.from}, quarantined`],
      ["Reason", reason, "broad"])),
    missing.length ? h("p", null, "A searcher that was not heard from may hang. If it wakes, its next query reads the pointer first.") : null,
    done.trouble ? h("p", { class: "problem" }, done.trouble) : null,
  ]);
}

const movedAt = (done) => state.moves.find((move) => move.alias === done.alias && move.epoch === done.epoch)?.at ?? "9";

function catchUp(done, job, proven) {
  if (job?.state === "failed") return h("span", { class: "mark bad" }, `failed: ${job.error}`);
  if (proven) return "done"; // the job may still be closing
  const { documents = 0, total = 0 } = job?.progress ?? {};
  if (job?.state === "running") return total ? `running, ${count(documents)} of ${count(total)} changes` : "running";
  return !done.lag ? "done" : `${plural(done.lag, "change")} to take in`;
}
