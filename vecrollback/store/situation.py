"""How a store stands: one place that looks, for `status`, the server, the dashboard, `/metrics` and the runbook.

It reads the catalog and asks the file system how much room is left: no model, no table, and nothing is changed. What
cannot be looked at is `unknown`, with the reason; the other lines are told all the same.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vecrollback.catalog import WORKER_LOCK, now
from vecrollback.errors import CatalogUnavailableError, NoRollbackTargetError, TimeWentBackError, in_words
from vecrollback.records import LINES, LIVE, Json, LineState, Situation, SituationLine
from vecrollback.store.status import describe
from vecrollback.switching.policy import load_policy

if TYPE_CHECKING:
    from vecrollback.store.parts import Parts
    from vecrollback.switching.policy import Policy

_BEHIND_SHARE = 0.05
"""A pair that lacks a larger share of the log than this is too far behind."""
_UNWATCHED_ROUNDS, _UNWATCHED_SECONDS = 3, 60.0
_FULL_BYTES, _FULL_SHARE, _TIGHT_SHARE = 2**30, 0.02, 0.1
_DAY = 86400.0
_PATIENCE_SECONDS = 0.5

_Found = tuple[LineState, str] | tuple[LineState, str, str]
"""State, sentence, and the next command where there is one to type."""


def read_situation(parts: Parts, status: Mapping[str, Json] | None = None) -> Situation:
    """Look at everything. Raises nothing.

    Args:
        parts: Of the store.
        status: Its `status`, where that was read a moment ago; else it is read.
    """
    look = _Look(parts, status)
    return Situation(now(), tuple(look.line(name) for name in LINES))


class _Look:
    """One look at a store. What several lines need is read once."""

    def __init__(self, parts: Parts, status: Mapping[str, Json] | None) -> None:
        self.parts, self.catalog, self._status = parts, parts.catalog, status
        self._lost = ""

    def line(self, name: str) -> SituationLine:
        if self._lost and name != "storage":
            return SituationLine(name, "unknown", self._lost)
        start = time.monotonic()
        try:
            return SituationLine(name, *_LINES[name](self))
        except Exception as error:  # whatever is wrong with one line, the others are told
            message = in_words(error)
            if isinstance(error, CatalogUnavailableError) and time.monotonic() - start > _PATIENCE_SECONDS:
                self._lost = message  # each further question would wait for the database again
            return SituationLine(name, "unknown", message)

    @cached_property
    def status(self) -> Mapping[str, Json]:
        return self._status if self._status is not None else describe(self.catalog)

    @property
    def live(self) -> Json:
        return self.status["alias"].get(LIVE)

    def pair(self, name: str) -> Json:
        return next(row for row in self.status["pairs"] if row["name"] == name)

    @property
    def kept_up(self) -> list[Json]:
        """The live pair and those that stand by."""
        return [row for row in self.status["pairs"] if row["state"] in ("live", "standby")]

    @cached_property
    def policy(self) -> Policy | None:
        return load_policy(self.parts.root)


def _live(look: _Look) -> _Found:
    if setback := look.status["setback"]:
        return "alert", str(setback), "vecrollback reconcile"
    if look.live is None:
        first = "reembed MODEL --name v1 --promote" if not look.status["pairs"] else "promote PAIR"
        return "alert", "nothing is live, so no query is answered", f"vecrollback {first}"
    pair = look.pair(look.live["pair"])
    ref, searchers = f"{look.live['pair']}@{look.live['snapshot']}", look.status["searchers"]
    late = [f"{one['host']}:{one['pid']}" for one in searchers if one["epoch"] < look.live["epoch"]]
    if late:
        return "alert", f"{ref}, but {', '.join(late)} still answers from an older epoch", "vecrollback status"
    behind = "up to date" if not pair["lag"] else f"{_counted(pair['lag'], 'change')} behind"
    follow = f"{_counted(len(searchers), 'searcher')} of it" if searchers else "no searcher runs"
    state: LineState = "note" if pair["lag"] > _BEHIND_SHARE * look.status["corpus"]["head"] else "ok"
    command = f"vecrollback catch-up {pair['name']}" if state == "note" else ""
    return state, f"{ref} since epoch {look.live['epoch']}, {behind}, {follow}", command


def _proof(look: _Look) -> _Found:
    if look.live is None:
        return "ok", "nothing is live that could be checked"
    name = look.live["pair"]
    verdict = look.pair(name)["checked"]
    if verdict is None:
        return "note", f"{name} was never checked", "vecrollback check"
    report = look.catalog.reports.newest(name)
    at = f" at {report.at[:16]}" if report else ""
    if verdict == "pass":
        accepted = look.pair(name)["accepted"]
        without = f"; {_counted(accepted, 'document')} accepted without a vector" if accepted else ""
        return "ok", f"the last check of {name} passed{at}{without}"
    worst = f": {report.findings[0].message}" if report and report.findings else ""
    if verdict == "unknown":
        return "unknown", f"the last check of {name}{at} could not look at everything{worst}", "vecrollback check"
    return "alert", f"the last check of {name}{at} failed{worst}", "vecrollback rollback --dry-run"


def _model(look: _Look) -> _Found:
    rows = {row["name"]: row for row in look.kept_up}
    silent = {name: row["model"]["said"] for name, row in rows.items() if row["model"]["answers"] == "fail"}
    if look.live and look.live["pair"] in silent:
        name = look.live["pair"]
        return "alert", f"the model of {name} does not answer: {silent[name]}", f"vecrollback embedder ask {name}"
    if silent:
        name, said = next(iter(silent.items()))
        text = f"the model of {name} does not answer, so no rollback goes there: {said}"
        return "alert", text, f"vecrollback embedder ask {name}"
    asked = [name for name, row in rows.items() if row["model"]["answers"] == "pass"]
    if not asked:
        return "ok", "no model was asked within the last quarter of an hour; none is known to be silent"
    return "ok", f"the models of {', '.join(asked)} answer" if len(asked) > 1 else f"the model of {asked[0]} answers"


def _gates(look: _Look) -> _Found:
    if look.live is None:
        return "ok", "nothing is live that had to pass gates"
    name = look.live["pair"]
    gated = look.catalog.gatekeeping.promoted(name)
    failures = [one for one in gated.outcomes if one.outcome != "pass"] if gated else []
    if failures:
        said = "; ".join(f"{one.gate}: {one.sentence}" for one in failures)
        return (
            "note",
            f"{name} was promoted by --override past {_counted(len(failures), 'gate')}: {said}",
            f"vecrollback gates {name}",
        )
    return "ok", f"{name} passed its {_counted(len(gated.outcomes), 'gate')}" if gated else f"{name} had no gates"


def _way_back(look: _Look) -> _Found:
    if look.live is None:
        return "ok", "nothing is live to go back from"
    try:
        target = look.parts.switch.target(None)
    except NoRollbackTargetError as error:
        if len(look.status["pairs"]) < 2:
            return "note", "there is nowhere to go back to: this is the only pair", "vecrollback snapshot list"
        return "alert", f"there is nowhere to go back to: {error.message}", "vecrollback snapshot list"
    except TimeWentBackError as error:
        return "alert", f"no rollback can be made: {error.message}", "vecrollback reconcile"
    lag = look.pair(target.pair)["lag"]
    behind = f", {_counted(lag, 'change')} behind" if lag else ", up to date"
    if lag > _BEHIND_SHARE * look.status["corpus"]["head"]:
        return "note", f"a rollback goes to {target.ref}{behind}", f"vecrollback catch-up {target.pair}"
    return "ok", f"a rollback goes to {target.ref}{behind}"


def _canary(look: _Look) -> _Found:
    run = look.catalog.canaries.running(LIVE)
    if run is None:
        return "ok", "no pair is tried"
    from vecrollback.switching.canary.judge import judge
    from vecrollback.switching.canary.settings import from_mapping

    judgements = judge(look.catalog.canaries.observed(run.number, run.step), from_mapping(run.policy))
    traffic = f"on {run.share:g}% of the callers" if run.step else f"in shadow of {run.shadow:g}% of the queries"
    worse = [one.sentence for one in judgements if one.standing == "worse"]
    if worse:
        return "alert", f"{run.pair} {traffic} is worse: {'; '.join(worse)}", "vecrollback canary stop --reason 'worse'"
    return "note", f"{run.pair} is tried {traffic}, step {run.step}", "vecrollback canary status"


def _freeze(look: _Look) -> _Found:
    freeze = look.catalog.freezes.of(LIVE)
    if freeze is None:
        return "ok", "automation may act"
    until = f" until {freeze.until[:16]}" if freeze.until else ""
    return "note", f"{freeze.actor} holds automation back{until}: {freeze.reason}", "vecrollback unfreeze"


def _approvals(look: _Look) -> _Found:
    epoch = look.live["epoch"] if look.live else 0
    waiting = [one for one in look.catalog.approvals.all(state="waiting") if one.epoch == epoch]
    if not waiting:
        return "ok", "no move waits for anybody"
    first = waiting[-1]
    wait = "1 move waits" if len(waiting) == 1 else f"{len(waiting)} moves wait"
    text = f"{wait} for people: a {first.kind} since {first.at[:16]}, {first.reason}"
    return "alert", text, f"vecrollback approve {first.number}"


def _incidents(look: _Look) -> _Found:
    incidents = [one for one in look.catalog.incidents.all(state="open") if one.nature == "failure"]
    if not incidents:
        return "ok", "none is open"
    numbers = ", ".join(str(one.number) for one in incidents)
    unproven = [one for one in incidents if one.verdict != "pass"]
    if unproven:
        one = unproven[0]
        said = f"the check after it says {one.verdict}" if one.verdict else "no check has proved it yet"
        return "alert", f"incident {one.number} ({one.source} to {one.target}): {said}", "vecrollback check"
    which = f"incident {numbers} is" if len(incidents) == 1 else f"incidents {numbers} are"
    text = f"{which} proved and not closed yet"
    return "note", text, f"vecrollback incident close {incidents[-1].number} --cause 'what it was'"


def _policy(look: _Look) -> _Found:
    policy = look.policy
    if policy is None or not policy.rules:
        return "ok", "no policy is set: nothing is watched, and nothing moves by itself"
    standing = [one for one in look.catalog.watching.standing(LIVE) if one["metric"] in {r.name for r in policy.rules}]
    patience = _UNWATCHED_ROUNDS * max(policy.interval, *(rule.interval for rule in policy.rules)) + _UNWATCHED_SECONDS
    newest = max((one["at"] for one in standing), default=0.0)
    if time.time() - newest > patience:
        since = f"since {_iso(newest)}" if newest else "yet"
        return "alert", f"a policy is set, and nothing was measured {since}", "vecrollback watch"
    failing = [one for one in standing if one["phase"] == "failure"]
    if failing:
        said = "; ".join(f"{one['metric']} {_number(one['value'])} {one['condition']}" for one in failing)
        return "alert", said, "vecrollback rollback --dry-run"
    blind = _blind(look.catalog.watching.memory(LIVE), policy)
    if blind:
        return "alert", f"the policy is blind: {'; '.join(blind)}", "vecrollback policy check"
    unknown = [one for one in standing if one["phase"] == "inconclusive"]
    if unknown:
        reasons = "; ".join(f"{one['metric']} ({one['said'] or one['sample']})" for one in unknown)
        return "note", f"not conclusive yet: {reasons}"
    return "ok", f"{_counted(len(standing), 'metric')} of {policy.origin or 'the policy'}: all well"


def _blind(memory: Mapping[str, Mapping[str, Any]], policy: Policy) -> list[str]:
    """Metrics that could not be measured for so many rounds that it is an alert; each with the reason."""
    names = {rule.name for rule in policy.rules}
    return [
        f"{name} could not be measured {body['blind']} times in a row: {body['recent'][-1][5] or 'no reason given'}"
        for name, body in memory.items()
        if name in names and body.get("blind", 0) >= policy.blind_rounds
    ]


def _jobs(look: _Look) -> _Found:
    jobs = look.status["jobs"]
    broken = [job for job in jobs if job["state"] in ("failed", "lost")]
    if not broken:
        running = [f"{job['kind']} of {job['pair']}" for job in jobs if job["state"] == "running"]
        return "ok", f"{', '.join(running)} under way" if running else "none is under way"
    job = broken[0]
    names = [row["name"] for row in look.kept_up]
    state: LineState = "alert" if any(one["pair"] in names for one in broken) else "note"
    more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
    return state, f"{job['kind']} of {job['pair']} {job['state']}: {job['error']}{more}", "vecrollback jobs list"


def _drills(look: _Look) -> _Found:
    drills = look.catalog.drills.all(limit=50)
    plain = next((one for one in drills if not one.chaos), None)
    failed = next((one for one in drills[:1] if one.verdict != "pass"), None)
    if failed is not None:
        kind = f"chaos {failed.chaos}" if failed.chaos else "plain"
        return "alert", f"drill {failed.number} ({kind}) said {failed.verdict}: {failed.said}", "vecrollback drill"
    if plain is None:
        if look.live is None or len(look.status["pairs"]) < 2:
            return "ok", "there is no way back to rehearse yet"
        return "note", "the way back was never rehearsed", "vecrollback drill"
    every = look.policy.drills.every if look.policy else 30 * _DAY
    age = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(plain.at)).total_seconds()
    text = f"drill {plain.number} passed at {plain.at[:16]}"
    return ("note", f"{text}; another one is due", "vecrollback drill") if age > every else ("ok", text)


def _worker(look: _Look) -> _Found:
    lags = {row["name"]: row["lag"] for row in look.kept_up if row["lag"]}
    behind = ", ".join(f"{name} is {_counted(lag, 'change')} behind" for name, lag in lags.items())
    if look.catalog.is_locked(WORKER_LOCK):
        return "ok", f"a worker runs; {behind or 'nothing waits to be taken in'}"
    if not lags:
        return "ok", "no worker runs, and nothing waits to be taken in"
    return "note", f"no worker runs, and {behind}", "vecrollback worker"


def _notices(look: _Look) -> _Found:
    channels = look.policy.channels if look.policy else ()
    if not channels:
        return "ok", "no channel is set: nobody is told of anything"
    failed = look.catalog.notices.all(state="failed", limit=1)
    stuck = [one for one in look.catalog.notices.all(state="waiting", limit=50) if one.attempts]
    if stuck or failed:
        one = (stuck or failed)[0]
        text = f"notice {one.number} could not be sent to {one.channel}: {one.error}"
        return ("alert" if stuck else "note"), text, "vecrollback policy check"
    return "ok", f"{_counted(len(channels), 'channel')}, nothing waits to be sent"


def _storage(look: _Look) -> _Found:
    root = look.parts.root
    if lacking := _missing_erasures(look):
        return lacking
    if not os.access(root, os.W_OK):
        return "alert", f"{root} cannot be written", "vecrollback doctor --installation"
    room = shutil.disk_usage(root)
    text = f"{room.free / 2**30:,.1f} GiB free, {room.free / room.total:.0%} of the file system"
    if room.free < _FULL_BYTES or room.free < _FULL_SHARE * room.total:
        return "alert", text, "vecrollback prune --dry-run"
    return ("note", text, "vecrollback prune --dry-run") if room.free < _TIGHT_SHARE * room.total else ("ok", text)


def _missing_erasures(look: _Look) -> _Found | None:
    if not (path := look.parts.settings.erasures):
        return None
    from vecrollback.corpus.erasures import ErasureFile, missing

    file = ErasureFile(path)
    if not file.path.exists():
        return "note", f"{path}, where deletes are noted, does not exist", f"vecrollback erasures export {path}"
    noted = file.read().newest({look.catalog.store_id})
    if lacking := missing(noted, look.catalog.ledger.tombstones()):
        count = _counted(len(lacking), "delete")
        text = f"{count} noted in {path} are missing here: this is an older copy of the store"
        return "alert", text, f"vecrollback erasures apply {path}"
    return None


_LINES: Mapping[str, Callable[[_Look], _Found]] = {
    "live": _live,
    "proof": _proof,
    "model": _model,
    "gates": _gates,
    "way back": _way_back,
    "canary": _canary,
    "freeze": _freeze,
    "approvals": _approvals,
    "incidents": _incidents,
    "policy": _policy,
    "jobs": _jobs,
    "drills": _drills,
    "worker": _worker,
    "notices": _notices,
    "storage": _storage,
}


def _counted(count: int, one: str) -> str:
    return f"{count:,} {one if count == 1 else one + 's'}"


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()[:16]
