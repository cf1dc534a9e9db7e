"""Methods of the client that is awaited about operating a store: those of `operations`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from vecrollback.client import operation_calls as calls
from vecrollback.client.calls import HttpCall, PairLike
from vecrollback.records import (
    Approval,
    CanaryRun,
    CanaryStatus,
    CatchUp,
    CaughtUpBy,
    Drill,
    Freeze,
    GateVerdict,
    GoldenQuery,
    Incident,
    IncidentNature,
    Json,
    Report,
    RestorePlan,
    Snapshot,
    UnembeddedDocument,
)

if TYPE_CHECKING:
    from vecrollback.switching.approvals import DecisionResult

T = TypeVar("T")


class AsyncOperationMethods:
    """What an operator does beside the moves: canary, gates, incidents, approvals, freeze, drills, snapshots."""

    if TYPE_CHECKING:  # what the client has

        async def _send(self, call: HttpCall[T]) -> T: ...

    # -- going forward ------------------------------------------------------------------------------------------------

    async def gates(self, pair: PairLike | None = None) -> GateVerdict:
        """Tell whether a pair would pass the gates of a promote now. Moves nothing.

        Args:
            pair: The pair, or its name. Default: the candidate.

        Returns:
            Each gate and what came of it.
        """
        return await self._send(calls.gates(pair))

    async def canary(self) -> CanaryStatus | None:
        """Tell how the canary stands.

        Returns:
            The canary that runs, without its salt, and what was seen at its present step; None when none runs.
        """
        return await self._send(calls.canary())

    async def start_canary(self, pair: str, *, reason: str = "", override: bool = False) -> CanaryStatus:
        """Try a pair on a part of the traffic; see `vecrollback.switching.canary.Canaries.start`.

        Args:
            pair: The pair's name.
            reason: Why.
            override: Although its check does not pass; needs a reason.

        Returns:
            How it stands.
        """
        return await self._send(calls.start_canary(pair, reason, override))

    async def advance_canary(
        self, *, override: bool = False, reason: str = "", expected_step: int | None = None
    ) -> CanaryStatus:
        """Give the candidate the next step's share of the callers.

        Args:
            override: Before its time is over, or without the test's word; needs a reason.
            reason: Why.
            expected_step: Refuse unless the canary is at this step.

        Returns:
            How it stands.
        """
        return await self._send(calls.advance_canary(override, reason, expected_step))

    async def stop_canary(self, *, reason: str) -> CanaryRun:
        """End the canary: from the next query on the live pair answers everybody.

        Args:
            reason: What was wrong; it is kept.

        Returns:
            The canary as it ended.
        """
        return await self._send(calls.stop_canary(reason))

    # -- incidents and approvals --------------------------------------------------------------------------------------

    async def incidents(self, *, limit: int | None = None) -> list[Incident]:
        """List the records of rollbacks.

        Args:
            limit: At most so many. Default: twenty.

        Returns:
            The incidents, newest first, each with what is known by now.
        """
        return await self._send(calls.incidents(limit))

    async def incident(self, number: int) -> Incident:
        """Read one incident.

        Args:
            number: Its number.

        Returns:
            Timeline, trigger, blast radius and proof.

        Raises:
            UnknownNameError: There is no such incident.
        """
        return await self._send(calls.incident(number))

    async def close_incident(
        self, number: int, *, cause: str, detected: str | None = None, nature: IncidentNature | None = None
    ) -> Incident:
        """Close an incident with its cause; it changes no more.

        Args:
            number: Its number.
            cause: What it was.
            detected: When the first sign was seen: ISO 8601, UTC unless it says otherwise, or how long ago, as 30m.
            nature: `false_alarm` or `planned` where the pair that was left had answered well.

        Returns:
            The incident as it was closed.
        """
        return await self._send(calls.close_incident(number, cause, detected, nature))

    async def approvals(self, *, waiting: bool = False) -> list[Approval]:
        """List moves that waited or wait for people.

        Args:
            waiting: Only those that wait.

        Returns:
            The requests, newest first.
        """
        return await self._send(calls.approvals(waiting))

    async def approve(self, number: int, *, reason: str = "") -> DecisionResult:
        """Agree to a move that waits. The last one who is needed makes it; catch-up and check follow.

        Args:
            number: Of the request.
            reason: Why, for the record.

        Returns:
            The request, and the move if it was made.
        """
        return await self._send(calls.approve(number, reason))

    async def reject(self, number: int, *, reason: str) -> Approval:
        """Refuse a move that waits.

        Args:
            number: Of the request.
            reason: Why, for the record.

        Returns:
            The request as it ended.
        """
        return await self._send(calls.reject(number, reason))

    # -- automation ---------------------------------------------------------------------------------------------------

    async def freeze(self, reason: str, *, until: dt.datetime | None = None) -> Freeze:
        """Let automation move nothing; people still can.

        Args:
            reason: Why.
            until: When it ends, with its zone. Default: at `unfreeze`.

        Returns:
            The freeze.
        """
        return await self._send(calls.freeze(reason, until))

    async def unfreeze(self) -> bool:
        """Let automation act again.

        Returns:
            Whether it was frozen.
        """
        return await self._send(calls.unfreeze())

    async def current_freeze(self) -> Freeze | None:
        """Tell what holds automation back now.

        Returns:
            The freeze; None when nothing does.
        """
        return await self._send(calls.current_freeze())

    async def policy(self) -> dict[str, Json]:
        """Tell what the policy says and how each of its metrics stood when it was last measured.

        Returns:
            `policy` with its defaults filled in, None without one; `metrics`; `trouble` where it cannot be read.
        """
        return await self._send(calls.policy())

    async def drill(self, chaos: str = "") -> Drill:
        """Rehearse a whole rollback beside what serves; see `Store.drill`.

        Args:
            chaos: What to break on purpose, in a copy of the store. Default: nothing.

        Returns:
            The drill, step by step.
        """
        return await self._send(calls.drill(chaos))

    async def drills(self, *, limit: int | None = None) -> list[Drill]:
        """List the drills that were run.

        Args:
            limit: At most so many. Default: twenty.

        Returns:
            The drills, newest first.
        """
        return await self._send(calls.drills(limit))

    # -- upkeep -------------------------------------------------------------------------------------------------------

    async def catch_up(self, pair: PairLike, *, by: CaughtUpBy | None = None) -> CatchUp:
        """Bring a pair to the head of the log with its own embedder, while it serves.

        Args:
            pair: The pair, or its name.
            by: `bridge` while the pair's own model is gone: another pair's model embeds, and its vectors are mapped.

        Returns:
            As `Store.catch_up`.
        """
        return await self._send(calls.catch_up(pair, by))

    async def repair(self, pair: PairLike) -> Report:
        """Check a pair, embed again what is wrong, and check once more.

        Args:
            pair: The pair, or its name.

        Returns:
            The last report: of the check after the repair, or of the first where it passed.
        """
        return await self._send(calls.repair(pair))

    # -- golden queries -----------------------------------------------------------------------------------------------

    async def golden(self, tag: str | None = None) -> list[GoldenQuery]:
        """List the golden queries.

        Args:
            tag: Only those with this tag.

        Returns:
            The queries, oldest first.
        """
        return await self._send(calls.golden(tag))

    async def add_golden(
        self,
        text: str,
        expected: Mapping[str, int] | Sequence[str] = (),
        *,
        tags: Sequence[str] = (),
        id: str | None = None,
    ) -> GoldenQuery:
        """Keep a query whose right answers are known; the same words, or the same id, replace what was kept.

        Args:
            text: The words.
            expected: Document id -> grade, or just the ids.
            tags: Such as `incident-12`.
            id: Default: made from the words.

        Returns:
            The query as it is kept.
        """
        return await self._send(calls.add_golden(text, expected, tags, id))

    async def remove_golden(self, id: str) -> None:
        """Forget a golden query.

        Args:
            id: Its id.
        """
        return await self._send(calls.remove_golden(id))

    # -- snapshots ----------------------------------------------------------------------------------------------------

    async def snapshot(self, pair: PairLike | None = None, *, rebuild: bool = False) -> Snapshot:
        """Take a snapshot of a pair as it is now.

        Args:
            pair: The pair, or its name. Default: the live one.
            rebuild: Build a new index too.

        Returns:
            The snapshot.
        """
        return await self._send(calls.snapshot(pair, rebuild))

    async def snapshots(self, pair: PairLike | None = None) -> list[Snapshot]:
        """List snapshots.

        Args:
            pair: The pair, or its name. Default: all.

        Returns:
            The snapshots, oldest first.
        """
        return await self._send(calls.snapshots(pair))

    async def tags(self) -> dict[str, str]:
        """List the names of snapshots.

        Returns:
            Tag -> `PAIR@N`.
        """
        return await self._send(calls.tags())

    async def tag(self, name: str, ref: str) -> None:
        """Name a snapshot; a tagged one is kept.

        Args:
            name: The name.
            ref: `PAIR@N`, or another tag.
        """
        return await self._send(calls.tag(name, ref))

    async def untag(self, name: str) -> None:
        """Take a name away; the snapshot stays until it is deleted.

        Args:
            name: The name.
        """
        return await self._send(calls.untag(name))

    async def plan_restore(self, ref: str) -> RestorePlan:
        """Tell what `restore` would do now: what would serve, how old it is, who has to agree. Moves nothing.

        Args:
            ref: `PAIR@N` or a tag.

        Returns:
            The plan.

        Raises:
            UnknownNameError: There is no such snapshot.
        """
        return await self._send(calls.plan_restore(ref))

    # -- documents without a vector -----------------------------------------------------------------------------------

    async def unembedded_documents(
        self, job: str | None = None, *, pair: PairLike | None = None
    ) -> list[UnembeddedDocument]:
        """List documents that could not be embedded and that still have no vector.

        Args:
            job: Only those of the job of this id.
            pair: Only those of this pair.

        Returns:
            Each with the reason the model gave, and who accepted that it stays so, if anybody did.
        """
        return await self._send(calls.unembedded_documents(job, pair))

    async def accept(self, pair: PairLike, documents: Sequence[str], *, reason: str) -> list[UnembeddedDocument]:
        """Accept by name that documents which a pair's model cannot embed have no vector there.

        Args:
            pair: The pair, or its name.
            documents: Their ids, as `unembedded_documents` lists them.
            reason: Why; it is kept with each of them, and in the audit.

        Returns:
            These documents, with what was said.
        """
        return await self._send(calls.accept(pair, documents, reason))

    async def withdraw_acceptance(self, pair: PairLike, documents: Sequence[str]) -> list[UnembeddedDocument]:
        """Take back that documents were accepted without a vector.

        Args:
            pair: The pair, or its name.
            documents: Their ids.

        Returns:
            These documents, as they stand now.
        """
        return await self._send(calls.withdraw_acceptance(pair, documents))
