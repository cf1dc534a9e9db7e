// The page: what is drawn when something was read anew, in the order of the page.

import { ApiError, get, token } from "./api.js";
import { $, text } from "./dom.js";
import { clockTime, duration, tick, utc } from "./format.js";
import { changed, forget, look, onChange, state, watch } from "./state.js";
import { drawAttention } from "./attention.js";
import { drawApprovals } from "./approvals.js";
import { drawDrills, drawFreeze, drawPolicy } from "./automation.js";
import { prepareDialog } from "./dialog.js";
import { drawGolden } from "./golden.js";
import { drawIncidents } from "./incidents.js";
import { drawLive } from "./live.js";
import { drawNavigation } from "./navigation.js";
import { drawSnapshots } from "./snapshots.js";
import { drawCanary, drawGates } from "./trials.js";
import { drawOutcome, prepareRollback } from "./rollback.js";
import { drawTraffic } from "./traffic.js";
import { drawTimeline } from "./timeline.js";
import { drawJobs, drawSearchers } from "./work.js";
import { drawPairs, drawReports } from "./checks.js";
import { drawMap } from "./map.js";
import { drawCompare, prepareCompare } from "./compare.js";

function drawTop() {
  if (!state.status) return;
  text($("where"), state.status.store);
  text($("who"), state.caller ? `${state.caller.name} · ${state.caller.role}` : "");
  $("signout").hidden = !token.get();
  document.title = `${state.status.alias.live?.pair ?? "nothing"} is live – vecrollback`;
}

/** Whether what is shown is of this moment. */
function drawFreshness() {
  const age = (Date.now() - state.readAt) / 1000;
  const fresh = $("fresh");
  if (state.readAt) {
    text(fresh, age < 4 ? "up to date" : `read ${duration(age)} ago`);
    fresh.title = utc(new Date(state.readAt));
  }
  fresh.classList.toggle("old", state.failed !== null);
  const since = state.readAt ? ` What follows is of ${clockTime(new Date(state.readAt))}.` : "";
  const aside = state.lost ? "Nothing can be moved until it is back." : "A rollback works without this page: vecrollback rollback --reason '…'";
  const words = state.lost ? "The server cannot read its catalog." : state.failed?.message;
  text($("lost"), state.failed ? `${words}${since} ${aside}` : "");
}

/** Ask for a token until one opens the door. */
async function signIn(error) {
  const dialog = $("signin");
  const problem = $("signin-problem");
  text(problem, token.get() ? error.message : "");
  token.clear();
  if (!dialog.open) dialog.showModal();
  for (;;) {
    await new Promise((resolve) => (dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      resolve();
    }));
    token.set($("signin-token").value.trim());
    try {
      state.caller = await get("/v1/whoami");
      $("signin-token").value = "";
      dialog.close();
      forget();
      return;
    } catch (refused) {
      if (!(refused instanceof ApiError)) throw refused;
      token.clear();
      text(problem, refused.message);
      $("signin-token").select();
    }
  }
}

function prepare() {
  $("signin").addEventListener("cancel", (event) => event.preventDefault());
  $("signout").addEventListener("click", () => {
    token.clear();
    location.reload();
  });
  for (const button of document.querySelectorAll("[data-seconds]")) {
    button.addEventListener("click", () => {
      state.seconds = Number(button.dataset.seconds);
      for (const one of document.querySelectorAll("[data-seconds]")) one.setAttribute("aria-pressed", one === button);
      text($("minutes"), state.seconds === 3600 ? "hour" : `${state.seconds / 60} minutes`);
      forget();
      look();
    });
  }
  prepareDialog();
  prepareRollback();
  prepareCompare();
  new ResizeObserver(() => state.status && drawTraffic()).observe($("chart-latency"));
}

onChange(() => {
  drawFreshness();
  if (state.status || state.failed) {
    drawLive();
    drawAttention();
  }
  if (!state.status) return;
  for (const draw of [drawTop, drawNavigation, drawOutcome, drawTraffic, drawTimeline, drawIncidents, drawApprovals, drawPolicy,
    drawFreeze, drawDrills, drawCanary, drawGates, drawSearchers, drawJobs, drawPairs, drawSnapshots, drawGolden, drawReports, drawMap,
    drawCompare]) draw();
});

prepare();
setInterval(() => { tick(); drawFreshness(); }, 1000);
watch(signIn);
changed();
