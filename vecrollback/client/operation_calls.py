"""The calls about operating a store, as values; see `vecrollback.client.calls`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from vecrollback.client import operation_responses as responses
from vecrollback.client.calls import HttpCall, PairLike, pair_name
from vecrollback.client.responses import record, report
from vecrollback.errors import UsageError
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


def gates(pair: PairLike | None) -> HttpCall[GateVerdict]:
    return HttpCall("GET", "/v1/gates", responses.gate_verdict, query=_pair(pair), long=True)


def canary() -> HttpCall[CanaryStatus | None]:
    def read(answer: Json) -> CanaryStatus | None:
        return responses.canary_status(answer["running"]) if answer["running"] else None

    return HttpCall("GET", "/v1/canary", read)


def start_canary(pair: str, reason: str, override: bool) -> HttpCall[CanaryStatus]:
    body = {"pair": pair, "reason": reason, "override": override}
    return HttpCall("POST", "/v1/canary", responses.canary_status, body, long=True)


def advance_canary(override: bool, reason: str, expected_step: int | None) -> HttpCall[CanaryStatus]:
    body = {"override": override, "reason": reason, "expected_step": expected_step}
    return HttpCall("POST", "/v1/canary/advance", responses.canary_status, body, long=True)


def stop_canary(reason: str) -> HttpCall[CanaryRun]:
    return HttpCall("POST", "/v1/canary/stop", responses.canary_run, {"reason": reason})


def incidents(limit: int | None) -> HttpCall[list[Incident]]:
    def read(answer: Json) -> list[Incident]:
        return [responses.incident(one) for one in answer["incidents"]]

    return HttpCall("GET", "/v1/incidents", read, query=_limit(limit))


def incident(number: int) -> HttpCall[Incident]:
    return HttpCall("GET", f"/v1/incidents/{number}", responses.incident)


def close_incident(number: int, cause: str, detected: str | None, nature: IncidentNature | None) -> HttpCall[Incident]:
    body = {"cause": cause, "detected": detected, "nature": nature}
    return HttpCall("POST", f"/v1/incidents/{number}/close", responses.incident, body)


def approvals(waiting: bool) -> HttpCall[list[Approval]]:
    def read(answer: Json) -> list[Approval]:
        return [responses.approval(one) for one in answer["approvals"]]

    return HttpCall("GET", "/v1/approvals", read, query={"waiting": str(waiting).lower()})


def approve(number: int, reason: str) -> HttpCall[DecisionResult]:
    body = {"decision": "approve", "reason": reason}
    return HttpCall("POST", f"/v1/approvals/{number}", responses.decision, body, long=True)


def reject(number: int, reason: str) -> HttpCall[Approval]:
    def read(answer: Json) -> Approval:
        return responses.approval(answer["approval"])

    return HttpCall("POST", f"/v1/approvals/{number}", read, {"decision": "reject", "reason": reason})


def freeze(reason: str, until: dt.datetime | None) -> HttpCall[Freeze]:
    if until is not None and until.tzinfo is None:
        raise UsageError(f"{until} has no time zone", hint="dt.datetime(..., tzinfo=dt.UTC)")
    body = {"reason": reason, "until": until.isoformat() if until else None}
    return HttpCall("POST", "/v1/freeze", lambda answer: record(Freeze, answer), body)


def unfreeze() -> HttpCall[bool]:
    return HttpCall("DELETE", "/v1/freeze", lambda answer: bool(answer["was_frozen"]))


def current_freeze() -> HttpCall[Freeze | None]:
    def read(answer: Json) -> Freeze | None:
        return record(Freeze, answer["freeze"]) if answer["freeze"] else None

    return HttpCall("GET", "/v1/freeze", read)


def policy() -> HttpCall[dict[str, Json]]:
    return HttpCall("GET", "/v1/policy", dict)


def drill(chaos: str) -> HttpCall[Drill]:
    return HttpCall("POST", "/v1/drills", responses.drill, {"chaos": chaos, "wait": True}, long=True)


def drills(limit: int | None) -> HttpCall[list[Drill]]:
    def read(answer: Json) -> list[Drill]:
        return [responses.drill(one) for one in answer["drills"]]

    return HttpCall("GET", "/v1/drills", read, query=_limit(limit))


def golden(tag: str | None) -> HttpCall[list[GoldenQuery]]:
    def read(answer: Json) -> list[GoldenQuery]:
        return [responses.golden_query(one) for one in answer["queries"]]

    query: dict[str, str | int] = {"limit": 10_000} | ({} if tag is None else {"tag": tag})
    return HttpCall("GET", "/v1/golden", read, query=query)


def add_golden(
    text: str, expected: Mapping[str, int] | Sequence[str], tags: Sequence[str], id: str | None
) -> HttpCall[GoldenQuery]:
    if isinstance(expected, str):
        raise UsageError(
            "add_golden takes a list of ids, not one string", hint=f"client.add_golden(..., [{expected!r}])"
        )
    grades = dict(expected) if isinstance(expected, Mapping) else dict.fromkeys(expected, 1)
    body = {"text": text, "expected": grades, "tags": list(tags), "id": id}
    return HttpCall("POST", "/v1/golden", responses.golden_query, body)


def remove_golden(id: str) -> HttpCall[None]:
    return HttpCall("DELETE", f"/v1/golden/{quote(id, safe='')}", lambda _: None)


def snapshot(pair: PairLike | None, rebuild: bool) -> HttpCall[Snapshot]:
    body = {**_pair(pair), "rebuild": rebuild}
    return HttpCall("POST", "/v1/snapshots", lambda answer: record(Snapshot, answer), body, long=True)


def snapshots(pair: PairLike | None) -> HttpCall[list[Snapshot]]:
    def read(answer: Json) -> list[Snapshot]:
        return [record(Snapshot, one) for one in answer["snapshots"]]

    return HttpCall("GET", "/v1/snapshots", read, query=_pair(pair))


def tags() -> HttpCall[dict[str, str]]:
    return HttpCall("GET", "/v1/snapshots/tags", lambda answer: dict(answer["tags"]))


def tag(name: str, ref: str) -> HttpCall[None]:
    return HttpCall("POST", "/v1/snapshots/tags", lambda _: None, {"name": name, "ref": ref})


def untag(name: str) -> HttpCall[None]:
    return HttpCall("DELETE", f"/v1/snapshots/tags/{quote(name, safe='')}", lambda _: None)


def plan_restore(ref: str) -> HttpCall[RestorePlan]:
    return HttpCall("POST", "/v1/restore", lambda answer: record(RestorePlan, answer), {"ref": ref, "dry_run": True})


def catch_up(pair: PairLike, by: CaughtUpBy | None) -> HttpCall[CatchUp]:
    body = {**_pair(pair), "wait": True} | ({"by": by} if by else {})
    return HttpCall("POST", "/v1/catch-up", lambda answer: record(CatchUp, answer), body, long=True)


def repair(pair: PairLike) -> HttpCall[Report]:
    def read(answer: Json) -> Report:
        return report(answer["after"] or answer["before"])

    return HttpCall("POST", "/v1/repair", read, {**_pair(pair), "wait": True}, long=True)


def unembedded_documents(job: str | None, pair: PairLike | None) -> HttpCall[list[UnembeddedDocument]]:
    query = _pair(pair) | ({} if job is None else {"job": job})
    return HttpCall("GET", "/v1/unembedded", responses.unembedded, query=query)


def accept(pair: PairLike, documents: Sequence[str], reason: str) -> HttpCall[list[UnembeddedDocument]]:
    body = {**_pair(pair), "documents": list(documents), "reason": reason}
    return HttpCall("POST", "/v1/unembedded/accept", responses.unembedded, body)


def withdraw_acceptance(pair: PairLike, documents: Sequence[str]) -> HttpCall[list[UnembeddedDocument]]:
    body = {**_pair(pair), "documents": list(documents)}
    return HttpCall("POST", "/v1/unembedded/withdraw", responses.unembedded, body)


def _pair(pair: PairLike | None) -> dict[str, str | int]:
    return {} if pair is None else {"pair": pair_name(pair)}


def _limit(limit: int | None) -> dict[str, str | int]:
    return {} if limit is None else {"limit": limit}
