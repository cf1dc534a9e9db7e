// Who serves, and what long work goes on.

import { ApiError, events, post } from "./api.js";
import { $, h, show, table } from "./dom.js";
import { button } from "./dialog.js";
import { ago, count, duration } from "./format.js";
import { can, changed, live, look, reaches, state } from "./state.js";

export function drawSearchers() {
  const searchers = [...state.status.searchers].sort((a, b) => `${a.host}:${a.pid}`.localeCompare(`${b.host}:${b.pid}`));
  const epoch = live()?.epoch ?? 0;
  show($("searchers"), [searchers, epoch], () => searchers.length
    ? table("Searchers: processes that answer queries", [["Searcher"], ["Epoch", "number"], ["Follows"]],
      searchers.map((searcher) => [`${searcher.host}:${searcher.pid}`, count(searcher.epoch), follows(searcher.epoch, epoch)]))
    : h("p", { class: "empty" }, "No process answers queries."));
}

const follows = (has, is) => has >= is
  ? h("span", { class: "mark good" }, h("span", { "aria-hidden": "true" }, "✓"), " yes")
  : h("span", { class: "mark bad" }, h("span", { "aria-hidden": "true" }, "✕"), ` ${count(is - has)} behind`);

const AGAIN_MS = 5000;
const watched = new Map();

/** Follow a running job by its own events, which come sooner than the next look at everything. */
function follow(id) {
  if (watched.has(id) || !reaches("operator") || watched.size >= 4) return;
  watched.set(id, { job: null });
  (async () => {
    try {
      for await (const [, job] of events(`/v1/jobs/${encodeURIComponent(id)}/events`)) {
        watched.get(id).job = job;
        changed();
      }
    } catch (error) {
      if (!(error instanceof ApiError) && !(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));  // the looks go on meanwhile
    } finally {
      watched.delete(id);
    }
    look();
  })();
}

export function jobNow(id) {
  return watched.get(id)?.job ?? state.status.jobs.find((job) => job.id === id) ?? null;
}

export function drawJobs() {
  const listed = state.status.jobs;
  for (const job of listed) if (job.state === "running") follow(job.id);
  const jobs = listed.map((job) => ({ ...job, ...(watched.get(job.id)?.job ?? {}) })).slice(0, 12);
  show($("jobs"), [jobs, can("operator")], () => jobs.length ? h("ul", { class: "jobs" }, jobs.map(entry)) : h("p", { class: "empty" }, "Nothing is unfinished."));
}

const RATE_SECONDS = 2;

/** How fast a running job is and how long it will take, by what it did since it began. */
function pace({ documents = 0, total = 0, elapsed = 0 }) {
  if (!documents || elapsed < RATE_SECONDS) return "";
  const rate = documents / elapsed;
  const left = total > documents ? `, about ${duration((total - documents) / rate)} left` : "";
  return `${rate >= 10 ? count(Math.round(rate)) : rate.toFixed(1)} changes/s${left}`;
}

function entry(job) {
  const { documents = 0, total = 0, phase = "" } = job.progress;
  const running = job.state === "running";
  const name = `${job.kind} of ${job.pair}`;
  const word = running ? (job.cancel ? "stopping" : job.paused ? "paused" : "running") : job.state;
  const level = { failed: "bad", cancelled: "warn", lost: "warn", paused: "warn" }[word] ?? "";
  return h("li", null,
    h("p", null, h("strong", null, name), " ", h("span", { class: `mark ${level}` }, word), job.started_at ? [" · ", ago(job.started_at)] : null),
    running ? h("p", { class: "progress" },
      h("progress", total ? { max: total, value: documents, "aria-label": `Progress of ${name}` } : { "aria-label": `${name} runs` }),
      h("span", null, total ? `${count(documents)} of ${count(total)} changes` : "", phase ? ` · ${phase}` : "")) : null,
    running && pace(job.progress) ? h("p", { class: "note" }, pace(job.progress)) : null,
    job.error ? h("p", { class: "note" }, job.error) : null,
    running && reaches("operator") && !job.cancel ? h("div", { class: "buttons" },
      job.paused ? button(`resume-${job.id}`, "Go on", () => control(job, "resume"), { disabled: !can("operator"), label: `Go on with ${name}` })
        : button(`pause-${job.id}`, "Pause", () => control(job, "pause"), { disabled: !can("operator"), label: `Pause ${name}` }),
      button(job.id, "Stop", () => control(job, "cancel"), { disabled: !can("operator"), label: `Stop ${name}` })) : null);
}

async function control(job, action) {
  await post(`/v1/jobs/${encodeURIComponent(job.id)}/${action}`).catch(() => {});  // the next look tells how it stands
  look();
}
