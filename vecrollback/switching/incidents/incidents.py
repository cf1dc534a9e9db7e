"""Incidents: the record of a rollback, opened right after it and completed from what the catalog learns later.

The history of moves decides which incidents there must be. One that could not be written, because the catalog failed
or the process died right after the move, is opened from the history the next time somebody lists them.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

from vecrollback.catalog import Catalog, as_kept, now
from vecrollback.catalog.answer_counts import canary_alias
from vecrollback.errors import UsageError, VecrollbackError
from vecrollback.records import (
    LIVE,
    Affected,
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
from vecrollback.records.times import read_time
from vecrollback.switching.incidents.performance import Performance, performance
from vecrollback.switching.notifications import Notifications

_log = logging.getLogger(__name__)
_KINDS: tuple[MoveKind, ...] = ("rollback", "restore")
_RECENT = dt.timedelta(days=7)
_KEPT_IDS = 20
_NOTICES = 1_000
"""Of so many the paper of an incident looks for its own: a table that grows must not make it slow."""


class Incidents:
    """The incidents of one store. `post_check` asks the recorded probe queries of a pair; it loads its model."""

    def __init__(self, catalog: Catalog, notices: Notifications, post_check: Callable[[str], PostCheck]) -> None:
        self._catalog, self._notices, self._post_check = catalog, notices, post_check

    # -- opening ------------------------------------------------------------------------------------------------------

    def open(
        self,
        outcome: Switched,
        *,
        decided: str,
        trigger: Mapping[str, Json] | None = None,
        planned: bool = False,
    ) -> Switched:
        """Open the incident of a move that happened.

        Args:
            outcome: The move, up to its searchers' acknowledgement.
            decided: When somebody decided it, as `catalog.now` writes times.
            trigger: What a policy measured; None where a person decided.
            planned: Nothing was wrong with the pair that was left.

        Returns:
            The same, with what went wrong here in `trouble`. Raises nothing: the move stands.
        """
        if outcome.source is None:
            return outcome
        end = None
        if not outcome.searchers.missing:
            # `switch_ms` begins before the move is written down: on a busy catalog their sum is a time yet to come
            end = min(now(), _later(outcome.move.at, outcome.switch_ms))
        first_sign = str(sign) if (sign := (trigger or {}).get("detected")) else None
        times: dict[str, Any] = {"detected": first_sign, "decided": decided, "acknowledged": end}
        facts: dict[str, Any] = {"searchers": outcome.searchers, "switch_ms": outcome.switch_ms, "lag": outcome.lag}
        facts["trigger"] = dict(trigger or {})
        if planned:
            facts["nature"] = "planned"

        def with_facts(one: Incident) -> Incident:
            return replace(one, timeline=replace(one.timeline, **times), **facts)

        try:
            incident, trouble = self._catalog.incidents.open(with_facts(self._of_move(outcome.move)), with_facts)
            if trouble:
                _log.warning("incident %d: %s", incident.number, trouble)
                outcome = _with_trouble(outcome, trouble)
            facts = {"incident": incident.number, "reason": incident.reason}
            if not self._notices.announce(incident.kind, _announcement(incident), facts):
                return _with_trouble(outcome, "nobody is told of it: the outbox cannot be written")
        except Exception as error:
            # Whatever is broken here, the move stands and the rest of the rollback goes on.
            _log.warning("the incident of epoch %d is not kept: %s", outcome.epoch, error)
            return _with_trouble(outcome, f"the incident is not kept yet ({error})")
        return outcome

    def reconcile(self) -> list[Incident]:
        """Open an incident for each recent rollback in the history that has none.

        Returns:
            Those that were opened, the oldest first.
        """
        since = (dt.datetime.now(dt.UTC) - _RECENT).isoformat()
        lost = self._catalog.incidents.without(LIVE, _KINDS, since)
        return [self._catalog.incidents.open(self._of_move(move)).incident for move in lost]

    def _of_move(self, move: Move) -> Incident:
        """The incident of a move, from the catalog alone."""
        assert move.source is not None
        tenure, report = self._catalog.incidents.evidence(move)
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
            failed_findings=_shorten(report.findings) if report else (),
        )

    # -- completing ---------------------------------------------------------------------------------------------------

    def settle(self, outcome: Switched) -> Switched:
        """Write the results of catch-up and check into the move's incident, and repeat the recorded probe queries.

        Args:
            outcome: The move, after its catch-up and check.

        Returns:
            The same, with what went wrong here in `trouble`. Raises nothing.
        """
        try:
            incident = self._catalog.incidents.of_move(outcome.alias, outcome.epoch)
            if incident is not None and outcome.trouble != incident.trouble:
                incident = self._catalog.incidents.change(
                    incident.number, lambda one: replace(one, trouble=outcome.trouble)
                )
            if incident is not None:
                self.complete(incident, ask=True)
        except Exception as error:
            _log.warning("the incident of epoch %d is not complete: %s", outcome.epoch, error)
            return _with_trouble(outcome, f"the incident is not complete ({error})")
        return outcome

    def settle_all(self, *, ask: bool = False) -> None:
        """Complete every open incident. `ask`: also run post-checks, which load a model."""
        self.reconcile()
        for one in self._catalog.incidents.all(state="open"):
            self.complete(one, ask=ask)

    def complete(self, one: Incident, *, ask: bool = False) -> Incident:
        """Add what the catalog has learned about an incident since it was opened."""
        # A person has closed it with a cause; what happens later must not change what was concluded.
        if one.state == "closed":
            return one
        target = SnapshotRef.parse(one.target).pair
        timeline, facts = one.timeline, dict[str, Json](blast=self._count_answers(one))
        if timeline.caught_up is None:
            timeline = replace(timeline, caught_up=self._caught_up(one, target))
        if timeline.verified is None and (proof := self._proof(one, target)) is not None:
            timeline = replace(timeline, verified=proof.at)
            facts |= {"verdict": proof.verdict, "findings": _shorten(proof.findings)}
        if ask and one.post_check is None and timeline.verified is not None:
            facts["post_check"] = self._repeat_queries(one, target)
        facts["timeline"] = timeline
        # Listing completes every incident; without this each look would write to the catalog.
        if all(getattr(one, name) == value for name, value in facts.items()):
            return one
        return self._catalog.incidents.change(one.number, lambda old: replace(old, **facts))

    def _repeat_queries(self, one: Incident, target: str) -> PostCheck | None:
        try:
            left = SnapshotRef.parse(one.source).pair
            before, of_left = (self._golden_at_promote(one, pair) for pair in (target, left))
            return replace(self._post_check(target), quality_before=before, quality_left=of_left)
        except (VecrollbackError, OSError) as error:
            _log.warning("incident %d: the probe queries cannot be asked: %s", one.number, error)
            return None

    def _golden_at_promote(self, one: Incident, pair: str) -> float | None:
        """What a policy measured of a pair when it served before this move: a model that may be broken is not asked."""
        baseline = self._catalog.watching.baseline_of(one.alias, pair, before=one.epoch)
        return None if baseline is None else baseline.get("golden")

    def _count_answers(self, one: Incident) -> BlastRadius:
        if one.nature != "failure":
            return one.blast
        blast = one.blast
        live_answers = self._catalog.served.between(one.alias, blast.first_epoch, blast.last_epoch)
        # As a canary, before it was live, the pair answered callers under the epochs of the pair that was live then.
        earlier = self._catalog.incidents.epoch_before(one)
        canary_answers = self._catalog.served.between(canary_alias(blast.pair), earlier, blast.last_epoch)
        times = [
            at
            for at in (live_answers.since, canary_answers.since, live_answers.until, canary_answers.until)
            if at is not None
        ]
        return replace(
            blast,
            answers=live_answers.answers + canary_answers.answers,
            canary_answers=canary_answers.answers,
            searchers=max(live_answers.searchers, canary_answers.searchers),
            since=_iso(min(times)) if times else None,
            until=_iso(max(times)) if times else None,
        )

    def _proof(self, one: Incident, target: str) -> Report | None:
        """The first full check of the pair after the switch."""
        since = one.timeline.switched or ""
        reports = self._catalog.reports.all(target, limit=50)
        later = [report for report in reports if report.level == "full" and report.at >= since]
        return min(later, key=lambda report: report.at, default=None)

    def _caught_up(self, one: Incident, target: str) -> str | None:
        """When the pair had applied the changes that it lacked at the switch."""
        since = one.timeline.switched or ""
        if one.lag == 0:
            return since
        return self._catalog.jobs.first_done("catch-up", target, since)

    # -- looking ------------------------------------------------------------------------------------------------------

    def affected(self, pair: str, *, since: str | None = None) -> Affected:
        """Tell what a pair answered: when, how much, and in which incidents it was left.

        Args:
            pair: Its name.
            since: Only times for which it served since then: ISO 8601, UTC unless it says otherwise, or how long
                ago, as 30m, 12h or 7d.

        Returns:
            What is recorded, and what is not.

        Raises:
            UnknownNameError: There is no such pair.
            UsageError: `since` is not a valid time.

        Example:
            >>> store.incidents.affected("v2").terms[0].first_epoch
            2
        """
        from vecrollback.switching.incidents.affected import affected

        return affected(self._catalog, pair, since)

    def all(self, *, state: str | None = None, limit: int | None = None) -> list[Incident]:
        """Incidents, newest first, each with what is known by now."""
        self.reconcile()
        return [self.complete(one) for one in self._catalog.incidents.all(state=state, limit=limit)]

    def get(self, number: int) -> Incident:
        """Raises UnknownNameError."""
        return self.complete(self._catalog.incidents.get(number))

    def paper(self, number: int) -> str:
        """Write an incident as Markdown: what is known filled in, what only people know left blank.

        Args:
            number: Its number.

        Returns:
            The paper: a summary, times, what triggered it, gates that were overridden, how much it touched, the proof,
            who was told, and the queries that failed.

        Raises:
            UnknownNameError: There is no such incident.

        Example:
            >>> moved = store.rollback(reason="worse answers")
            >>> store.incidents.paper(1).splitlines()[0]
            '# Incident 1: v2@1 to v1@1'
        """
        from vecrollback.switching.incidents.markdown import IncidentContext, markdown

        one = self.get(number)
        gated = self._catalog.gatekeeping.promoted(one.blast.pair)
        overridden = [gate for gate in gated.outcomes if gate.outcome != "pass"] if gated else []
        notices = [
            notice
            for notice in self._catalog.notices.all(limit=_NOTICES)
            if notice.body.get("facts", {}).get("incident") == number
        ]
        queries = self._catalog.golden.all(f"incident-{number}")
        return markdown(one, IncidentContext(tuple(overridden), tuple(notices), tuple(queries)))

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

        `detected`: when the first sign was seen: ISO 8601, UTC unless it says otherwise, or how long ago, as 30m.
        `nature`: "false_alarm" or "planned" where the pair that was left had answered well: then no answer counts as
        a bad one.
        """
        if not cause.strip():
            raise UsageError("an incident is closed with its cause", hint="--cause 'what it was'")
        if nature not in (None, *get_args(IncidentNature)):
            raise UsageError(f"nature is {nature!r}", hint="'false_alarm', 'planned', or leave it out")
        first_sign = as_kept(read_time(detected)) if detected else None
        incident = self.get(number)

        def with_cause(one: Incident) -> Incident:
            if one.state == "closed":
                raise UsageError(f"incident {number} is closed already", hint=f"`vecrollback incident show {number}`")
            timeline = replace(one.timeline, detected=first_sign or one.timeline.detected)
            notes = {"cause": cause, "closed_by": actor, "closed_at": now()}
            final_nature = nature or one.nature
            blast = one.blast if final_nature == "failure" else replace(one.blast, answers=0, canary_answers=0)
            if one.blast.answers and final_nature != "failure":
                notes["answers"] = f"{one.blast.answers:,} of pair {one.blast.pair}, none of them bad"
            return replace(one, state="closed", timeline=timeline, notes=notes, nature=final_nature, blast=blast)

        return self._catalog.incidents.change(incident.number, with_cause)

    def latency(self, number: int, now_ms: float, *, before_ms: float) -> None:
        """Note the latency of the pair that serves now, and what it was when it served before."""

        def with_latency(one: Incident) -> Incident:
            if one.post_check is None or one.post_check.latency_ms is not None:
                return one
            return replace(one, post_check=replace(one.post_check, latency_ms=now_ms, latency_before_ms=before_ms))

        self._catalog.incidents.change(number, with_latency)


def _announcement(one: Incident) -> str:
    return f"{one.source} to {one.target}, epoch {one.epoch}, by {one.actor}: {one.reason} (incident {one.number})"


def _shorten(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(replace(finding, ids=finding.ids[:_KEPT_IDS]) for finding in findings)


def _with_trouble(outcome: Switched, sentence: str) -> Switched:
    return replace(outcome, trouble="; ".join(filter(None, (outcome.trouble, sentence))))


def _later(at: str, milliseconds: float) -> str:
    return (dt.datetime.fromisoformat(at) + dt.timedelta(milliseconds=milliseconds)).isoformat(timespec="microseconds")


def _iso(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds")
