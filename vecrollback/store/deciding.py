"""Agreeing to a move that waits for people, and refusing it."""

from __future__ import annotations

from vecrollback.records import Approval, ProgressCallback, Switched
from vecrollback.store.store import Store
from vecrollback.switching.approvals import DecisionResult


def approve(
    store: Store,
    number: int,
    *,
    reason: str = "",
    catch_up: bool = True,
    progress: ProgressCallback | None = None,
    wait: float = 10.0,
    actor: str | None = None,
) -> DecisionResult:
    """Agree to request `number`; the last person who is needed makes the move.

    Raises AliasMovedError when `live` has moved since it was asked for; the request has expired then.
    """
    who = actor or store.actor

    def move(asked: Approval) -> Switched:
        why = f"{asked.reason} (request {number}, approved by {', '.join(asked.approved_by)})"
        if asked.kind == "restore":
            return store.restore(
                str(asked.target),
                reason=why,
                catch_up=catch_up,
                progress=progress,
                wait=wait,
                actor=who,
                approval=number,
                expected_epoch=asked.epoch,
            )
        return store.rollback(
            asked.target,
            reason=why,
            catch_up=catch_up,
            progress=progress,
            wait=wait,
            expected_epoch=asked.epoch,
            actor=who,
            trigger=asked.trigger,
        )

    return store.authority.approve(number, actor=who, reason=reason, move=move)


def reject(store: Store, number: int, *, reason: str, actor: str | None = None) -> Approval:
    """Refuse request `number`."""
    return store.authority.reject(number, actor=actor or store.actor, reason=reason)
