"""Incidents: opened after every rollback, completed from what the catalog learns later.

The history is the truth. An incident that could not be written, or whose process died right after the move, is opened
from the history the next time somebody looks.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vecrollback.catalog import Catalog, now
from vecrollback.catalog.answer_counts import canary_alias
from vecrollback.errors import UsageError, VecrollbackError
from vecrollback.records import (
    LIVE,
    BlastRadius,
    Finding,
    Incident,
    IncidentNature,
    Json,
    Move,
    MoveKind,
    PostCheck,
    Report,
    SnapshotRef,
    Switched,
    Timeline,
)
from vecrollback.switching.incidents.performance import Performance, performance
from vecrollback.switching.notifications import Notifications

_log = logging.getLogger(__name__)
_KINDS: tuple[MoveKind, ...] = ("rollback", "restore")
_RECENT = dt.timedelta(days=7)
_KEPT_IDS = 20


class Incidents:
    """The incidents of one store. `post_check` asks the recorded probe queries of a pair; it loads its model."""

    def __init__(self, catalog: Catalog, notices: Notifications, post_check: Callable[[str], PostCheck]) -> None:
        self._catalog, self._notices, self._post_check = catalog, notices, post_check

    # -- opening ------------------------------------------------------------------------------------------------------

    def open(
        self,
        done: Switched,
        *,
        decided: str,
        trigger: Mapping[str, Json] | None = None,
        planned: bool = False,
    ) -> Switched:
        """Open the incident of a move that happened.

        Args:
            done: The move, up to its searchers' acknowledgement.
            decided: When somebody decided it, as `catalog.now` writes times.
            trigger: What a policy measured; None where a person decided.
            planned: Nothing was wrong with the pair that was left.

        Returns:
            The same, with what went wrong here in `trouble`. Raises nothing: the move stands.
        """
        if done.source is None:
            return done
        acknowledged = None
        if not done.searchers.missing:
            # `switch_ms` begins before the move is written down: on a busy catalog their sum is a time yet to come
            acknowledged = min(now(), _later(done.move.at, done.switch_ms))
        detected = str(found) if (found := (trigger or {}).get("detected")) else None
        times: dict[str, Any] = {"detected": detected, "decided": decided, "acknowledged": acknowledged}
        facts: dict[str, Any] = {"searchers": done.searchers, "switch_ms": done.switch_ms, "lag": done.lag}
        facts["trigger"] = dict(trigger or {})
        if planned:
            facts["nature"] = "planned"

        def completed(one: Incident) -> Incident:
            return replace(one, timeline=replace(one.timeline, **times), **facts)

        try:
            stored, trouble = self._catalog.incidents.open(completed(self._of_move(done.move)), completed)
            if trouble:
                _log.warning("incident %d: %s", stored.number, trouble)
                done = _with_trouble(done, trouble)
            facts = {"incident": stored.number, "reason": stored.reason}
            if not self._notices.announce(stored.kind, _told(stored), facts):
                return _with_trouble(done, "nobody is told of it: the outbox cannot be written")
        except Exception as error:
            # Whatever is broken here, the move stands and the rest of the rollback goes on.
            _log.warning("the incident of epoch %d is not kept: %s", done.epoch, error)
            return _with_trouble(done, f"the incident is not kept yet ({error})")
        return done

    def reconcile(self) -> list[Incident]:
        """Open what recent rollbacks in the history have no incident for.

        Returns:
            Those that were opened, the oldest first.
        """
        since = (dt.datetime.now(dt.UTC) - _RECENT).isoformat()
        lost = self._catalog.incidents.without(LIVE, _KINDS, since)
        return [self._catalog.incidents.open(self._of_move(move)).incident for move in lost]

    def _of_move(self, move: Move) -> Incident:
        """The incident of a move as far as the catalog alone knows it."""
        assert move.source is not None
        tenure, failed = self._catalog.incidents.evidence(move)
        return Incident(
            number=0,
            state="open",
            alias=move.alias,
            epoch=move.epoch,
            kind=move.kind,
            source=move.source,
            target=move.target,
            reason=move.reason,
            actor=move.actor,
            timeline=Timeline(began=tenure.began, switched=move.at),
            blast=BlastRadius(SnapshotRef.parse(move.source).pair, tenure.first_epoch, tenure.last_epoch),
            failed_findings=_shortened(failed.findings) if failed else (),
        )

    # -- completing ---------------------------------------------------------------------------------------------------

    def settle(self, done: Switched) -> Switched:
        """Write what catch-up and check came to into the move's incident, and ask the recorded probe queries.

        Args:
            done: The move, after its catch-up and check.

        Returns:
            The same, with what went wrong here in `trouble`. Raises nothing.
        """
        try:
            found = self._catalog.incidents.of_move(done.alias, done.epoch)
            if found is not None and done.trouble != found.trouble:
                found = self._catalog.incidents.change(found.number, lambda one: replace(one, trouble=done.trouble))
            if found is not None:
                self.complete(found, ask=True)
        except Exception as error:
            _log.warning("the incident of epoch %d is not complete: %s", done.epoch, error)
            return _with_trouble(done, f"the incident is not complete ({error})")
        return done

    def settle_all(self, *, ask: bool = False) -> None:
        """Bring every open incident up to what is known. `ask`: run post-checks, which load a model."""
        self.reconcile()
        for one in self._catalog.incidents.all(state="open"):
            self.complete(one, ask=ask)

    def complete(self, one: Incident, *, ask: bool = False) -> Incident:
        """Add what the catalog has learned about an incident since it was opened."""
        if one.state == "closed":
            return one
        target = SnapshotRef.parse(one.target).pair
        timeline, facts = one.timeline, dict[str, Json](blast=self._counted(one))
        if timeline.caught_up is None:
            timeline = replace(timeline, caught_up=self._caught_up(one, target))
        if timeline.verified is None and (proof := self._proof(one, target)) is not None:
            timeline = replace(timeline, verified=proof.at)
            facts |= {"verdict": proof.verdict, "findings": _shortened(proof.findings)}
        if ask and one.post_check is None and timeline.verified is not None:
            facts["post_check"] = self._asked_again(one, target)
        facts["timeline"] = timeline
        if all(getattr(one, name) == value for name, value in facts.items()):
            return one
        return self._catalog.incidents.change(one.number, lambda old: replace(old, **facts))

    def _asked_again(self, one: Incident, target: str) -> PostCheck | None:
        try:
            return self._post_check(target)
        except (VecrollbackError, OSError) as error:
            _log.warning("incident %d: the probe queries cannot be asked: %s", one.number, error)
            return None

    def _counted(self, one: Incident) -> BlastRadius:
        if one.nature != "failure":
            return one.blast
        blast = one.blast
        found = self._catalog.served.between(one.alias, blast.first_epoch, blast.last_epoch)
        # A pair that was tried before it served answered callers under the epochs of the pair beside it.
        earlier = max(
            (
                known.epoch
                for known in self._catalog.incidents.all()
                if known.epoch < one.epoch and _same_pair(known, one)
            ),
            default=0,
        )
        tried = self._catalog.served.between(canary_alias(blast.pair), earlier, blast.last_epoch)
        times = [at for at in (found.since, tried.since, found.until, tried.until) if at is not None]
        return replace(
            blast,
            answers=found.answers + tried.answers,
            canary_answers=tried.answers,
            searchers=max(found.searchers, tried.searchers),
            since=_iso(min(times)) if times else None,
            until=_iso(max(times)) if times else None,
        )

    def _proof(self, one: Incident, target: str) -> Report | None:
        """The first full check of the pair after the switch."""
        switched = one.timeline.switched or ""
        reports = self._catalog.reports.all(target, limit=50)
        later = [report for report in reports if report.level == "full" and report.at >= switched]
        return min(later, key=lambda report: report.at, default=None)

    def _caught_up(self, one: Incident, target: str) -> str | None:
        """When the pair had taken in what it lacked at the switch."""
        switched = one.timeline.switched or ""
        if one.lag == 0:
            return switched
        return self._catalog.jobs.first_done("catch-up", target, switched)

    # -- looking ------------------------------------------------------------------------------------------------------

    def all(self, *, state: str | None = None, limit: int | None = None) -> list[Incident]:
        """Incidents, newest first, each with what is known by now."""
        self.reconcile()
        return [self.complete(one) for one in self._catalog.incidents.all(state=state, limit=limit)]

    def get(self, number: int) -> Incident:
        """Raises UnknownNameError."""
        return self.complete(self._catalog.incidents.get(number))

    def performance(self, *, days: float = 30.0, settle: bool = True) -> Performance:
        """How it went in the last days: time to detect and to recover, how often rollbacks and drills succeeded.

        `settle` False: as it was last written down, without looking for more.
        """
        return performance(self._catalog, self.all() if settle else self._catalog.incidents.all(), days=days)

    def close(
        self,
        number: int,
        *,
        cause: str,
        actor: str,
        detected: str | None = None,
        nature: IncidentNature | None = None,
    ) -> Incident:
        """Close an incident with its cause; it changes no more.

        `detected`: when the first sign was seen, ISO 8601. `nature`: "false_alarm" or "planned" where the pair that was
        left had answered well: then no answer counts as a bad one.
        """
        if not cause.strip():
            raise UsageError("an incident is closed with its cause", hint="--cause 'what it was'")
        seen = _read_time(detected) if detected else None
        known = self.get(number)

        def closed(one: Incident) -> Incident:
            if one.state == "closed":
                raise UsageError(f"incident {number} is closed already", hint=f"`vecrollback incident show {number}`")
            timeline = replace(one.timeline, detected=seen or one.timeline.detected)
            notes = {"cause": cause, "closed_by": actor, "closed_at": now()}
            given = nature or one.nature
            blast = one.blast if given == "failure" else replace(one.blast, answers=0, canary_answers=0)
            if one.blast.answers and given != "failure":
                notes["answers"] = f"{one.blast.answers:,} of pair {one.blast.pair}, none of them bad"
            return replace(one, state="closed", timeline=timeline, notes=notes, nature=given, blast=blast)

        return self._catalog.incidents.change(known.number, closed)

    def latency(self, number: int, now_ms: float, *, before_ms: float) -> None:
        """Note the latency of the pair that serves now, and what it was when it served before."""

        def noted(one: Incident) -> Incident:
            if one.post_check is None or one.post_check.latency_ms is not None:
                return one
            return replace(one, post_check=replace(one.post_check, latency_ms=now_ms, latency_before_ms=before_ms))

        self._catalog.incidents.change(number, noted)


def _same_pair(one: Incident, other: Incident) -> bool:
    return (one.alias, one.blast.pair) == (other.alias, other.blast.pair)


def _told(one: Incident) -> str:
    return f"{one.source} to {one.target}, epoch {one.epoch}, by {one.actor}: {one.reason} (incident {one.number})"


def _shortened(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(replace(finding, ids=finding.ids[:_KEPT_IDS]) for finding in findings)


def _with_trouble(done: Switched, said: str) -> Switched:
    return replace(done, trouble="; ".join(filter(None, (done.trouble, said))))


def _later(at: str, milliseconds: float) -> str:
    return (dt.datetime.fromisoformat(at) + dt.timedelta(milliseconds=milliseconds)).isoformat(timespec="microseconds")


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds")


def _read_time(given: str) -> str:
    try:
        found = dt.datetime.fromisoformat(given)
    except ValueError:
        raise UsageError(
            f"{given!r} is not a valid time", hint="write it in ISO 8601: 2026-01-31T12:00:00+00:00"
        ) from None
    return found.astimezone(dt.UTC).isoformat(timespec="microseconds")
