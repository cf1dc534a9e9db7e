// One dialog for every action: what will happen, what has to be given, one request, and what came of it.

import { ApiError } from "./api.js";
import { $, h, text } from "./dom.js";
import { sentence } from "./format.js";
import { forget, look } from "./state.js";

let action = null;

export function prepareDialog() {
  const dialog = $("action");
  $("action-cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("cancel", (event) => action?.sent && event.preventDefault());
  dialog.addEventListener("close", () => {
    const { key, home } = action ?? {};
    action = null;
    back(key, home);
  });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
}

/**
 * Ask for an action. `plan`: nodes that say what will happen; `fields`: what has to be given; `run`: gets their values,
 * sends the one request and returns the sentence that tells what was done. What is asked is frozen here: should things
 * move while the dialog is open, the request says what they were.
 */
export function ask(event, { title, plan = [], fields = [], confirm = title, danger = false, run }) {
  const opener = event.currentTarget;
  action = { run, fields, confirm, sent: false, key: opener.dataset.key, home: opener.closest("section")?.id };
  text($("action-title"), title);
  text($("action-problem"), "");
  $("action-plan").replaceChildren(...[plan].flat(Infinity).filter(Boolean));
  $("action-fields").replaceChildren(...fields.flatMap(field));
  $("action-confirm").className = danger ? "danger" : "primary";
  busy(false);
  $("action").showModal();
  ($("action-fields").querySelector("input, select, textarea") ?? $("action-confirm")).focus();
}

const idOf = (name) => `action-${name}`;

function field({ name, label, kind = "text", note, value = "", options = [], required = false, min }) {
  const id = idOf(name);
  if (kind === "check") {
    return [h("label", { class: "check", for: id }, h("input", { type: "checkbox", id }), h("span", null, label, note ? h("span", { class: "note" }, ` ${note}`) : null))];
  }
  const control = {
    area: () => h("textarea", { id, rows: "2", maxlength: "2000", required }),
    choice: () => h("select", { id }, options.map(([key, words]) => h("option", { value: key, selected: key === value }, words))),
  }[kind] ?? (() => h("input", { id, type: kind, required, min, maxlength: kind === "text" ? "2000" : null, autocomplete: "off" }));
  const node = control();
  if (value && kind !== "choice") node.value = value;
  return [h("label", { for: id }, label, note ? h("span", { class: "note" }, ` ${note}`) : null), node];
}

function values() {
  return Object.fromEntries(action.fields.map(({ name, kind }) => {
    const node = $(idOf(name));
    return [name, kind === "check" ? node.checked : node.value.trim()];
  }));
}

function busy(on) {
  for (const node of $("action").querySelectorAll("button, input, select, textarea")) node.disabled = on;
  text($("action-confirm"), on ? "Working …" : action.confirm);
}

async function send() {
  const given = values();
  const missing = action.fields.find(({ name, required }) => required && !given[name]);
  if (missing) {
    text($("action-problem"), `${missing.label}: say it, the next person reads it.`);
    $(idOf(missing.name)).focus();
    return;
  }
  action.sent = true;
  text($("action-problem"), "");
  busy(true);
  try {
    const done = await action.run(given);
    $("action").close();
    tell(done);
    forget();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    action.sent = false;
    busy(false);
    text($("action-problem"), refusal(error));
    $("action-cancel").focus();
  }
  look();
}

/** What the server said no with. A request without an answer may have been carried out. */
export function refusal(error) {
  if (error.status === 0) return "No answer came. It may have happened all the same: close this and look.";
  if (error.type === "ApprovalNeededError") return `${sentence(error.message)}. It waits under Approvals.`;
  return `Nothing was changed: ${error.message}${error.hint ? ` (${error.hint})` : ""}`;
}

let hiding = 0;

/** Say something at the foot of the page, and to who listens. */
export function tell(words) {
  const node = $("announce");
  text(node, words);
  node.classList.add("shown");
  clearTimeout(hiding);
  hiding = setTimeout(() => node.classList.remove("shown"), 9000);
}

/** Put the focus where it was: the button may have been drawn anew, or be gone together with its reason. */
function back(key, home) {
  const there = key && document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (there && !there.disabled) return there.focus();
  if (document.activeElement === document.body || !document.activeElement?.checkVisibility()) (home ? $(home) : $("live"))?.focus();
  return undefined;
}

/** A small button of a panel. `key` names it through redraws. */
export const button = (key, words, onclick, { disabled = false, label, danger = false } = {}) =>
  h("button", { type: "button", class: danger ? "small danger" : "small", "data-key": key, disabled, "aria-label": label, onclick }, words);

/** Do something that needs no dialog, and say what came of it. */
export async function act(run) {
  try {
    tell(await run());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    tell(refusal(error));
  }
  forget();
  look();
}

export const REASON = { name: "reason", label: "Reason", kind: "area", note: "kept in the record", required: true };
