"""Answers of the server as records, and its errors as exceptions. Keys that a newer server adds are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from vecrollback import errors
from vecrollback.errors import FailedError, UnreachableError, VecrollbackError
from vecrollback.records import (
    Acknowledgements,
    CatchUp,
    Certificate,
    Finding,
    GateOutcome,
    Hit,
    Json,
    Move,
    Pair,
    Report,
    Result,
    Switched,
)

R = TypeVar("R")


def result(found: Mapping[str, Json]) -> Result:
    return _record(Result, found, hits=[_record(Hit, hit) for hit in found["hits"]])


def pair(found: Mapping[str, Json]) -> Pair:
    return _record(Pair, found)


def move(found: Mapping[str, Json]) -> Move:
    return _record(Move, found, source=found["from"], target=found["to"])


def report(found: Mapping[str, Json]) -> Report:
    findings = tuple(_record(Finding, one, ids=tuple(one["ids"])) for one in found["findings"])
    proof = found["certificate"]
    return _record(Report, found, findings=findings, certificate=_record(Certificate, proof) if proof else None)


def switched(found: Mapping[str, Json]) -> Switched:
    searchers = found["searchers"]
    return _record(
        Switched,
        found,
        move=move(found["move"]),
        searchers=_record(Acknowledgements, searchers, missing=tuple(searchers["missing"])),
        caught_up=_record(CatchUp, found["caught_up"]) if found["caught_up"] else None,
        report=report(found["check"]) if found["check"] else None,
        gates=tuple(_record(GateOutcome, one) for one in found.get("gates", [])),
    )


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
    made: VecrollbackError = kind.__new__(kind, problem["message"])
    made.hint = problem.get("hint", "")
    for name, value in problem.get("facts", {}).items():
        setattr(made, name, value)
    return made


def _record(kind: type[R], found: Mapping[str, Json], **made: Any) -> R:
    known = {f.name for f in fields(kind)} - set(made)  # type: ignore[arg-type]
    return kind(**{name: value for name, value in found.items() if name in known}, **made)
