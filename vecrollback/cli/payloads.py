"""What `--json` prints: records as JSON documents. Keys are added over time, never renamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vecrollback.errors import NoRollbackTargetError
from vecrollback.records import Json, Move, Report, Result, Snapshot, Switched

if TYPE_CHECKING:
    from vecrollback.store import Store

Payload = dict[str, Json]


def status(store: Store) -> Payload:
    """The store's status, and where a rollback would go at this moment."""
    return {**store.status(), "rollback": rollback_target(store)}


def rollback_target(store: Store) -> Payload:
    """`target` is null when there is none; then `reason` says why."""
    try:
        return {"target": store.rollback_target().ref, "reason": ""}
    except NoRollbackTargetError as error:
        return {"target": None, "reason": error.message}


def pair(store: Store, name: str) -> Payload:
    """One pair, as `status` has it."""
    return next(row for row in store.status()["pairs"] if row["name"] == name)


def switched(done: Switched) -> Payload:
    return {
        "alias": done.alias,
        "from": done.source,
        "to": done.target,
        "epoch": done.epoch,
        "switch_ms": round(done.switch_ms, 3),
        "readers": asdict(done.readers),
        "lag": done.lag,
        "caught_up": asdict(done.caught_up) if done.caught_up else None,
        "check": asdict(done.report) if done.report else None,
        "trouble": done.trouble,
    }


def result(found: Result) -> Payload:
    return asdict(found)


def report(found: Report) -> Payload:
    return asdict(found)


def moves(made: Sequence[Move]) -> Payload:
    # "from" is no name for a field in Python.
    renamed = {"source": "from", "target": "to"}
    return {"moves": [{renamed.get(key, key): value for key, value in asdict(move).items()} for move in made]}


def snapshot(taken: Snapshot, tags: Mapping[str, str]) -> Payload:
    return {"ref": taken.ref, **asdict(taken), "tags": [name for name, ref in tags.items() if ref == taken.ref]}
