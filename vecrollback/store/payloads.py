"""What `--json` prints and the HTTP API answers: records as JSON documents. Keys are added over time, never renamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from vecrollback.errors import NoRollbackTargetError, TimeWentBackError
from vecrollback.records import (
    AnswerComparison,
    Bridge,
    CanaryRun,
    CanaryStatus,
    Comparison,
    CorpusRollback,
    Document,
    Forecast,
    GateVerdict,
    Json,
    Move,
    PairVectors,
    Reconciled,
    Report,
    Result,
    Situation,
    Snapshot,
    Switched,
    ThresholdTranslation,
)

if TYPE_CHECKING:  # `mapping` loads NumPy, which `--help` must not wait for
    from vecrollback.serving.vector_map import VectorMap
    from vecrollback.store.store import Store
    from vecrollback.switching.policy import Policy

Payload = dict[str, Json]


def status(store: Store, look: Callable[[Payload], Situation] | None = None) -> Payload:
    """The store's status, where a rollback would go at this moment, and how everything stands.

    `look`: tells how it stands, by the status; as the store itself does, but for a server, which sees more.
    """
    state = store.status()
    seen = look(state) if look else store.situation(state)
    return {**state, "rollback": rollback_target(store), "situation": situation(seen)}


def situation(one: Situation) -> Payload:
    """The verdict, what it rests on, and every line."""
    return {**asdict(one), "state": one.state, "verdict": one.verdict, "sentence": one.sentence}


def rollback_target(store: Store) -> Payload:
    """`target` is null when there is none; then `reason` says why."""
    try:
        return {"target": store.rollback_target().ref, "reason": ""}
    except (NoRollbackTargetError, TimeWentBackError) as error:
        return {"target": None, "reason": error.message}


def pair(store: Store, name: str) -> Payload:
    """One pair, as `status` has it."""
    return next(row for row in store.status()["pairs"] if row["name"] == name)


def pairs(store: Store) -> Payload:
    """Every pair, as `status` has it and with everything else that its record holds."""
    rows = {row["name"]: row for row in store.status()["pairs"]}
    return {"pairs": [{**asdict(one), **rows[one.name]} for one in store.pairs() if one.name in rows]}


def switched(outcome: Switched) -> Payload:
    return {
        "alias": outcome.alias,
        "from": outcome.source,
        "to": outcome.target,
        "epoch": outcome.epoch,
        "switch_ms": round(outcome.switch_ms, 3),
        "searchers": asdict(outcome.searchers),
        "lag": outcome.lag,
        "caught_up": asdict(outcome.caught_up) if outcome.caught_up else None,
        "check": asdict(outcome.report) if outcome.report else None,
        "trouble": outcome.trouble,
        "warning": outcome.warning,
        "gates": [asdict(one) for one in outcome.gates],
        "bridge": bridge(outcome.bridge) if outcome.bridge else None,
        "threshold": _threshold(outcome.threshold) if outcome.threshold else None,
        "move": _move(outcome.move),
    }


def _threshold(one: ThresholdTranslation) -> Payload:
    return {**asdict(one), "sentence": one.sentence}


def corpus_rollback(outcome: CorpusRollback, *, dry_run: bool = False) -> Payload:
    plan = outcome.plan
    names = ("to", "changed", "returning", "withdrawn", "kept_new", "erased", "changes")
    return {
        **{name: getattr(plan, name) for name in names},
        "head": outcome.head,
        "embed": dict(plan.embed),
        "dry_run": dry_run,
        "caught_up": [asdict(one) for one in outcome.caught_up],
        "trouble": outcome.trouble,
    }


def document(one: Document) -> Payload:
    more = {"namespace": one.namespace or None, "embedded_text": one.embedded_text}
    own = {"id": one.id, "text": one.text, "metadata": one.metadata}
    return own | {name: value for name, value in more.items() if value is not None}


def vectors(made: PairVectors) -> Payload:
    return {"vectors": made.tolist(), "fingerprint": made.fingerprint, "pair": made.pair, "epoch": made.epoch}


def result(answer: Result) -> Payload:
    # By hand: `asdict` copies every value of every hit's metadata, which a server does thousands of times a second.
    return {
        "pair": answer.pair,
        "snapshot": answer.snapshot,
        "epoch": answer.epoch,
        "watermark": answer.watermark,
        "settings": answer.settings,
        "hits": [
            {
                "id": hit.id,
                "score": hit.score,
                "text": hit.text,
                "metadata": hit.metadata,
                "chunk": hit.chunk,
                "stale": hit.stale,
                "namespace": hit.namespace,
                **({} if hit.vector is None else {"vector": hit.vector}),
            }
            for hit in answer.hits
        ],
        "current": answer.current,
        "canary": answer.canary,
        "doubt": answer.doubt,
        "reason": answer.reason,
        "metric": answer.metric,
        "dimension": answer.dimension,
        "fingerprint": answer.fingerprint,
        "vectors_version": answer.vectors_version,
        "head": answer.head,
        "cache_key": answer.cache_key,
        "answered_by": answer.answered_by,
        "measured": answer.measured,
        "mode": answer.mode,
        "reranker": answer.reranker,
    }


def compared(answers: AnswerComparison) -> Payload:
    return {
        "query": answers.query,
        "a": result(answers.a),
        "b": result(answers.b),
        "overlap": answers.overlap,
        "places": [asdict(place) for place in answers.places],
    }


def bridge(one: Bridge) -> Payload:
    return {**asdict(one), "verdict": one.verdict, "sentence": one.sentence}


def forecast(one: Forecast) -> Payload:
    return {**asdict(one), "verdict": one.verdict, "sentence": one.sentence}


def comparison(outcome: Comparison) -> Payload:
    body = asdict(outcome)
    for row, one in zip(body["differences"], outcome.differences, strict=True):
        row["significant"] = one.significant
    return body


def gated(verdict: GateVerdict) -> Payload:
    outcomes = [asdict(one) for one in verdict.outcomes]
    own = {"pair": verdict.pair, "snapshot": verdict.snapshot, "passed": verdict.passed, "outcomes": outcomes}
    return own | {"live": verdict.live, "epoch": verdict.epoch}


def policy(written: Policy) -> Payload:
    """A policy with its defaults filled in. Of its channels the names alone: the rest may be secret."""
    rules = [{**asdict(rule), "failure": str(rule.failure), "speed": rule.speed} for rule in written.rules]
    plain = {name: getattr(written, name) for name in ("origin", "interval", "bake", "window", "automatic")}
    return {**plain, "metrics": rules, "channels": [channel.name for channel in written.channels]}


def canary(run: CanaryRun) -> Payload:
    return {name: value for name, value in asdict(run).items() if name != "salt"}  # who knows it can choose a share


def canary_status(status_now: CanaryStatus) -> Payload:
    payload = asdict(status_now) | {"canary": canary(status_now.canary)}
    return payload | {"standing": status_now.standing}


def vector_map(points_map: VectorMap) -> Payload:
    # Thousands of points: as rows under one heading, not each with its own.
    from vecrollback.serving.vector_map import MapPoint

    return {
        "pair": points_map.pair,
        "snapshot": points_map.snapshot,
        "population": points_map.population,
        "explained": list(points_map.explained),
        "fingerprint": points_map.fingerprint,
        "columns": list(MapPoint._fields),
        "points": [list(point) for point in points_map.points],
    }


def report(one: Report) -> Payload:
    return asdict(one)


def moves(made: Sequence[Move]) -> Payload:
    return {"moves": [_move(one) for one in made]}


def reconciled(mended: Reconciled | None) -> Payload:
    """What `reconcile` did; without a setback there was nothing to do."""
    if mended is None:
        return {"setback": "", "replayed": [], "anew": [], "changes": 0, "lost_changes": 0}
    return {
        "setback": str(mended.setback),
        "replayed": [_move(one) for one in mended.replayed],
        "anew": [_move(one) for one in mended.anew],
        "changes": mended.changes,
        "lost_changes": mended.lost_changes,
    }


def _move(one: Move) -> Payload:
    # A field of Python cannot be called "from".
    names = {"source": "from", "target": "to"}
    return {names.get(key, key): value for key, value in asdict(one).items()}


def snapshot(one: Snapshot, tags: Mapping[str, str]) -> Payload:
    return {"ref": one.ref, **asdict(one), "tags": [name for name, ref in tags.items() if ref == one.ref]}
