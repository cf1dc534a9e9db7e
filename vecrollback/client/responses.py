"""Answers of the server as records, and its errors as exceptions. Keys that a newer server adds are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from vecrollback import errors
from vecrollback.errors import FailedError, UnreachableError, VecrollbackError
from vecrollback.records import (
    Acknowledgements,
    Bridge,
    BridgeWorth,
    CatchUp,
    Certificate,
    CorpusPlan,
    CorpusRollback,
    Difference,
    Document,
    Finding,
    Forecast,
    ForecastSlice,
    GateOutcome,
    Hit,
    Json,
    ModelAnswer,
    Move,
    Pair,
    PairVectors,
    Report,
    Result,
    Situation,
    SituationLine,
    Switched,
    ThresholdTranslation,
    WriteResult,
)

R = TypeVar("R")


def result(body: Mapping[str, Json]) -> Result:
    return record(Result, body, hits=[_hit(one) for one in body["hits"]])


def vectors(body: Mapping[str, Json]) -> PairVectors:
    import numpy as np  # here, because a client that only searches by words needs none

    return record(PairVectors, body, vectors=np.array(body["vectors"], np.float32))


def write_result(body: Mapping[str, Json]) -> WriteResult:
    return record(WriteResult, body, head=body["seq"])


def documents(body: Mapping[str, Json]) -> list[Document]:
    return [record(Document, one) for one in body["documents"]]


def bridge(body: Mapping[str, Json]) -> Bridge:
    return record(Bridge, body, worth=record(BridgeWorth, body["worth"]))


def forecast(body: Mapping[str, Json]) -> Forecast:
    parts = [record(ForecastSlice, one, difference=record(Difference, one["difference"])) for one in body["slices"]]
    return record(
        Forecast,
        body,
        difference=record(Difference, body["difference"]),
        bridged=record(Difference, body["bridged"]) if body["bridged"] else None,
        slices=tuple(parts),
    )


def pair(body: Mapping[str, Json]) -> Pair:
    return record(Pair, body)


def move(body: Mapping[str, Json]) -> Move:
    return record(Move, body, source=body["from"], target=body["to"])


def finding(body: Mapping[str, Json]) -> Finding:
    return record(Finding, body, ids=tuple(body["ids"]))


def report(body: Mapping[str, Json]) -> Report:
    findings = tuple(finding(one) for one in body["findings"])
    proof = body["certificate"]
    return record(Report, body, findings=findings, certificate=record(Certificate, proof) if proof else None)


def model_answer(body: Mapping[str, Json]) -> ModelAnswer:
    return record(ModelAnswer, body)


def situation(body: Mapping[str, Json]) -> Situation:
    return record(Situation, body, lines=tuple(record(SituationLine, line) for line in body["lines"]))


def switched(body: Mapping[str, Json]) -> Switched:
    searchers = body["searchers"]
    return record(
        Switched,
        body,
        move=move(body["move"]),
        searchers=record(Acknowledgements, searchers, missing=tuple(searchers["missing"])),
        caught_up=record(CatchUp, body["caught_up"]) if body["caught_up"] else None,
        report=report(body["check"]) if body["check"] else None,
        gates=tuple(record(GateOutcome, one) for one in body.get("gates", [])),
        bridge=bridge(body["bridge"]) if body.get("bridge") else None,
        threshold=record(ThresholdTranslation, body["threshold"]) if body.get("threshold") else None,
    )


def corpus_rollback(body: Mapping[str, Json]) -> CorpusRollback:
    ids = {name: tuple(body[name]) for name in ("changed", "returning", "withdrawn", "kept_new", "erased")}
    plan = record(CorpusPlan, body, **ids, head=body["head"] - (0 if body["dry_run"] else body["changes"]))
    caught_up = tuple(record(CatchUp, one) for one in body["caught_up"])
    return CorpusRollback(plan, body["head"], caught_up, body["trouble"])


def error(status: int, body: Json) -> VecrollbackError:
    """What the server reports, as the class it names; FailedError for one that this version does not know."""
    problem = body.get("error") if isinstance(body, dict) else None
    if not isinstance(problem, dict) or "type" not in problem:
        return UnreachableError(
            f"HTTP {status} from something that is not a vecrollback server", hint="is the URL right, and the proxy?"
        )
    kind = getattr(errors, str(problem["type"]), FailedError)
    kind = kind if isinstance(kind, type) and issubclass(kind, VecrollbackError) else FailedError
    # Not through `__init__`: some classes make their message from facts, and here it is made already.
    rebuilt: VecrollbackError = kind.__new__(kind, problem["message"])
    rebuilt.hint = problem.get("hint", "")
    for name, value in problem.get("facts", {}).items():
        setattr(rebuilt, name, value)
    return rebuilt


def _hit(body: Mapping[str, Json]) -> Hit:
    vector = body.get("vector")
    return record(Hit, body, vector=None if vector is None else tuple(vector))


def record(kind: type[R], body: Mapping[str, Json], **values: Any) -> R:
    """An answer as a record of this kind; `values` stand in place of what the answer has under their names."""
    # A newer server may add keys; an older client passes them over.
    names = {f.name for f in fields(kind)} - set(values)  # type: ignore[arg-type]
    return kind(**{name: value for name, value in body.items() if name in names}, **values)
