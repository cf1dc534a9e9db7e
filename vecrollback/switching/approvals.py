"""Approvals: a move that needs several people waits here until enough of them have agreed.

Files and database of a store can be written by whoever runs commands on it, so this keeps honest operators from
mistakes and leaves a record. Against others there are tokens (`vecrollback token`) and the rights on the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from vecrollback.catalog import Catalog, now
from vecrollback.catalog.operations import same_move
from vecrollback.errors import AliasMovedError, ApprovalNeededError, UsageError
from vecrollback.records import LIVE, Approval, Json, Switched


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """The result of a decision: the approval as it is now, and the move if this was the last agreement it needed."""

    approval: Approval
    switched: Switched | None = None


class Approvals:
    """Moves of one store that wait for people. Each decision is on record before it counts."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def ask(
        self,
        kind: str,
        target: str | None,
        *,
        reason: str,
        actor: str,
        needed: int = 1,
        trigger: Mapping[str, Json] | None = None,
        override: bool = False,
        planned: bool = False,
    ) -> Approval:
        """Ask for a move. The request that waits for the same one already is returned instead."""
        live = self._catalog.aliases.get(LIVE)
        new = Approval(
            number=0,
            kind=kind,  # type: ignore[arg-type]
            state="waiting",
            target=target,
            epoch=live.epoch if live else 0,
            reason=reason,
            asked_by=actor,
            at=now(),
            needed=needed,
            trigger=dict(trigger or {}),
            override=override,
            planned=planned,
        )
        self._catalog.audits.add(actor, f"{kind}.ask", target or "the last fit pair")
        for waiting in self.all(state="waiting"):
            if same_move(waiting, new):
                return waiting
        return self._catalog.approvals.ask(new)

    def require(
        self,
        ref: str,
        reason: str,
        *,
        actor: str,
        needed: int,
        approval: int | None,
        override: bool = False,
        planned: bool = False,
    ) -> None:
        """Raise ApprovalNeededError unless `needed` people have agreed, in request `approval`, to serving `ref`."""
        snapshot_ref = self._catalog.pairs.find_snapshot(ref).ref
        if approval is not None:
            earlier = self._catalog.approvals.get(approval)
            agreed = (earlier.kind, earlier.target, earlier.state) == ("restore", snapshot_ref, "waiting")
            if agreed and override <= earlier.override:  # to pass over a silent model is part of what they agree to
                needed -= len(set(earlier.approved_by))
        if needed <= 0:
            return
        request = self.ask(
            "restore",
            snapshot_ref,
            reason=reason,
            actor=actor,
            needed=needed,
            override=override,
            planned=planned,
        )
        raise ApprovalNeededError(
            f"serving {snapshot_ref} waits for {request.needed} different people: request {request.number}, "
            f"approved by {', '.join(request.approved_by) or 'nobody yet'}",
            hint=f"each of them: `vecrollback approve {request.number}`",
        )

    def reject(self, number: int, *, actor: str, reason: str) -> Approval:
        """Refuse a move that waits."""
        self._catalog.audits.add(actor, "approval.reject", f"{number}")
        return self._catalog.approvals.change(number, lambda one: _with(one, "reject", actor, reason))

    def approve(self, number: int, *, actor: str, reason: str, move: Callable[[Approval], Switched]) -> DecisionResult:
        """Record that somebody agrees. With the last agreement that is needed, the move is made.

        `move` closes the request in the move's own transaction (`MoveRequest.approval`): both are done, or neither.
        The move is refused, and the request expires, when `live` has moved since it was asked for.
        """
        # The audit entry comes first: a decision that counts without a record must not be possible.
        self._catalog.audits.add(actor, "approval.approve", f"{number}")
        approval = self._catalog.approvals.change(number, lambda one: _with(one, "approve", actor, reason))
        if len(approval.approved_by) < approval.needed:
            return DecisionResult(approval)
        try:
            outcome = move(approval)
        except AliasMovedError:
            self._catalog.approvals.change(number, _expire)
            raise
        return DecisionResult(self._catalog.approvals.get(number), outcome)

    def all(self, *, state: str | None = None) -> list[Approval]:
        """Approvals, newest first. Those that waited when somebody else moved `live` have expired."""
        live = self._catalog.aliases.get(LIVE)
        for one in self._catalog.approvals.all(state="waiting"):
            if live is not None and self._catalog.aliases.switched_since(LIVE, one.epoch):
                self._catalog.approvals.change(one.number, _expire)
        return self._catalog.approvals.all(state=state)


def _expire(one: Approval) -> Approval:
    """Mark a request as expired; one whose move was made meanwhile stays as it is."""
    return replace(one, state="expired") if one.state == "waiting" else one


def _with(one: Approval, decision: str, actor: str, reason: str) -> Approval:
    if one.state != "waiting":
        raise UsageError(f"request {one.number} is {one.state}", hint="`vecrollback approvals` lists them")
    entry = {"actor": actor, "decision": decision, "reason": reason, "at": now()}
    if decision == "reject":
        return replace(one, state="rejected", decisions=(*one.decisions, entry))
    if actor in one.approved_by:
        if len(one.approved_by) >= one.needed:
            return one  # the process that was to make the move died: this makes it
        raise UsageError(
            f"{actor} has approved request {one.number} already; it needs {one.needed} different people",
            hint="somebody else: `vecrollback approve` under another VECROLLBACK_ACTOR or token",
        )
    return replace(one, decisions=(*one.decisions, entry))
