// What the page knows: read from the server again and again, one reading at a time, and handed to whoever draws it.

import { ApiError, get } from "./api.js";

const LOOK_MS = 1000;
const SERIES_MS = 2000;
const PANELS_MS = 8000;

export const state = {
  caller: null, status: null, situation: null, moves: [], pairs: [], reports: [], console: null, series: null, seconds: 600,
  failed: null, lost: false, readAt: 0,
};

const listeners = new Set();
export const onChange = (listener) => listeners.add(listener);
export const changed = () => listeners.forEach((listener) => listener(state));

export const reaches = (role) => {
  const order = ["reader", "writer", "operator", "admin"];
  return state.caller !== null && order.indexOf(state.caller.role) >= order.indexOf(role);
};

/** Whether something of this role can be done now: nothing can while the server or its catalog is not there. */
export const can = (role) => reaches(role) && state.failed === null;

export const live = () => state.status?.alias.live ?? null;
export const pairRow = (name) => state.status?.pairs.find((pair) => pair.name === name) ?? null;
export const lastReport = (name) => state.reports.find((report) => report.pair === name) ?? null;
export const liveMoves = () => state.moves.filter((move) => move.alias === "live");

/** The pair that an epoch of `live` pointed to. */
export const pairOfEpoch = (epoch) => {
  const move = liveMoves().find((one) => one.epoch === epoch);
  return move ? move.to.slice(0, move.to.lastIndexOf("@")) : null;
};

/** Colours go by the order in which pairs were made, so that one keeps its own through every switch. */
export const colour = (name) => {
  const place = state.status?.pairs.findIndex((pair) => pair.name === name) ?? -1;
  return `c${place < 0 ? "x" : place % 6}`;
};

let seriesAt = 0;
let slowKey = "";
let slowAt = 0;

/** What the panels show, by its name here: what the answer is asked for, and its part that counts. */
const PANELS = {
  incidents: ["/v1/incidents?limit=20", "incidents"], approvals: ["/v1/approvals", "approvals"], freeze: ["/v1/freeze", "freeze"],
  policy: ["/v1/policy"], canary: ["/v1/canary"], drills: ["/v1/drills?limit=10", "drills"], golden: ["/v1/golden"],
  snapshots: ["/v1/snapshots", "snapshots"],
};

async function panels() {
  const read = await Promise.all(Object.entries(PANELS).map(async ([name, [path, part]]) => {
    const answer = await get(path);
    return [name, part ? answer[part] : answer];
  }));
  return Object.fromEntries(read);
}

/** Read what is due. Raises ApiError. */
export async function refresh() {
  state.caller ??= await get("/v1/whoami");
  state.status = await get("/v1/status");
  state.situation = state.status.situation;
  // History, reports and pairs change with what the status shows of them; the rest is a safety net.
  const key = JSON.stringify([state.status.alias, state.status.pairs.map((p) => [p.name, p.state, p.checked, p.snapshot]),
    state.status.jobs.map((job) => [job.id, job.state]), state.situation.lines.map((line) => [line.name, line.state])]);
  if (key !== slowKey || Date.now() - slowAt > PANELS_MS) {
    const [history, reports, pairs, shown] = await Promise.all(
      [get("/v1/history?limit=200"), get("/v1/reports?limit=60"), get("/v1/pairs"), panels()]);
    Object.assign(state, { moves: history.moves, reports: reports.reports, pairs: pairs.pairs, console: shown });
    [slowKey, slowAt] = [key, Date.now()];
  }
  if (Date.now() - seriesAt >= SERIES_MS - 50) {
    state.series = await get(`/v1/series?seconds=${state.seconds}`);
    seriesAt = Date.now();
  }
  Object.assign(state, { failed: null, lost: false, readAt: Date.now() });
}

/** Read everything at the next look, not when it is due. */
export function forget() {
  [slowKey, slowAt, seriesAt] = ["", 0, 0];
}

let stirred = () => {};
/** Look now. */
export const look = () => stirred();

/** Look once a second while somebody can see the page. `unknown` is called when a token is needed, and waited for. */
export async function watch(unknown) {
  for (;;) {
    try {
      if (!document.hidden) await refresh();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) {
        state.caller = null;
        await unknown(error);
        continue;
      }
      state.failed = error;
      // A server without its catalog still says how it stands; what the page shows besides is of an earlier moment.
      state.lost = error.type === "CatalogUnavailableError";
      if (state.lost) state.situation = await get("/v1/situation").catch(() => null);
    }
    changed();
    await new Promise((resolve) => {
      stirred = resolve;
      setTimeout(resolve, LOOK_MS);
    });
  }
}

document.addEventListener("visibilitychange", () => document.hidden || look());
