"""What `--json` prints and the HTTP API answers: records as JSON documents. Keys are added over time, never renamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vecrollback.errors import NoRollbackTargetError
from vecrollback.records import (
    AnswerComparison,
    CanaryRun,
    CanaryStatus,
    Comparison,
    GateVerdict,
    Json,
    Move,
    Report,
    Result,
    Snapshot,
    Switched,
)

if TYPE_CHECKING:  # `mapping` loads NumPy, which `--help` must not wait for
    from vecrollback.serving.vector_map import VectorMap
    from vecrollback.store.store import Store

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


def pairs(store: Store) -> Payload:
    """Every pair, as `status` has it and with everything else that its record holds."""
    rows = {row["name"]: row for row in store.status()["pairs"]}
    return {"pairs": [{**asdict(one), **rows[one.name]} for one in store.pairs() if one.name in rows]}


def switched(done: Switched) -> Payload:
    return {
        "alias": done.alias,
        "from": done.source,
        "to": done.target,
        "epoch": done.epoch,
        "switch_ms": round(done.switch_ms, 3),
        "searchers": asdict(done.searchers),
        "lag": done.lag,
        "caught_up": asdict(done.caught_up) if done.caught_up else None,
        "check": asdict(done.report) if done.report else None,
        "trouble": done.trouble,
        "warning": done.warning,
        "gates": [asdict(one) for one in done.gates],
        "move": _move(done.move),
    }


def result(found: Result) -> Payload:
    # By hand: `asdict` copies every value of every hit's metadata, which a server does thousands of times a second.
    return {
        "pair": found.pair,
        "snapshot": found.snapshot,
        "epoch": found.epoch,
        "watermark": found.watermark,
        "settings": found.settings,
        "hits": [
            {
                "id": hit.id,
                "score": hit.score,
                "text": hit.text,
                "metadata": hit.metadata,
                "chunk": hit.chunk,
                "stale": hit.stale,
            }
            for hit in found.hits
        ],
        "current": found.current,
        "canary": found.canary,
        "doubt": found.doubt,
    }


def compared(found: AnswerComparison) -> Payload:
    return {
        "query": found.query,
        "a": result(found.a),
        "b": result(found.b),
        "overlap": found.overlap,
        "places": [asdict(place) for place in found.places],
    }


def comparison(found: Comparison) -> Payload:
    body = asdict(found)
    for row, one in zip(body["differences"], found.differences, strict=True):
        row["significant"] = one.significant
    return body


def gated(found: GateVerdict) -> Payload:
    outcomes = [asdict(one) for one in found.outcomes]
    return {"pair": found.pair, "snapshot": found.snapshot, "passed": found.passed, "outcomes": outcomes}


def canary(found: CanaryRun) -> Payload:
    return {name: value for name, value in asdict(found).items() if name != "salt"}  # who knows it can choose a share


def canary_status(found: CanaryStatus) -> Payload:
    shown = asdict(found) | {"canary": canary(found.canary)}
    return shown | {"standing": found.standing}


def vector_map(found: VectorMap) -> Payload:
    # Thousands of points: as rows under one heading, not each with its own.
    from vecrollback.serving.vector_map import MapPoint

    return {
        "pair": found.pair,
        "snapshot": found.snapshot,
        "population": found.population,
        "explained": list(found.explained),
        "fingerprint": found.fingerprint,
        "columns": list(MapPoint._fields),
        "points": [list(point) for point in found.points],
    }


def report(found: Report) -> Payload:
    return asdict(found)


def moves(made: Sequence[Move]) -> Payload:
    return {"moves": [_move(one) for one in made]}


def _move(made: Move) -> Payload:
    # A field of Python cannot be called "from".
    renamed = {"source": "from", "target": "to"}
    return {renamed.get(key, key): value for key, value in asdict(made).items()}


def snapshot(taken: Snapshot, tags: Mapping[str, str]) -> Payload:
    return {"ref": taken.ref, **asdict(taken), "tags": [name for name, ref in tags.items() if ref == taken.ref]}
