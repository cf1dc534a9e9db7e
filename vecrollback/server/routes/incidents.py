"""Incidents, what waits for people, what holds automation back, and numbers from outside."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from vecrollback.errors import UsageError
from vecrollback.records import LIVE, Approval, Incident, Json, Switched
from vecrollback.server.auth import Operating, Reading, Writing
from vecrollback.server.moves import prove, run_while_asked, start_proof
from vecrollback.server.operation_schemas import CloseRequest
from vecrollback.server.schemas import DecisionRequest, FreezeRequest, PushRequest, answers, as_json
from vecrollback.server.service import Service
from vecrollback.store import payloads

router = APIRouter(prefix="/v1", tags=["operations"])

_INCIDENT = {"number": 1, "state": "open", "epoch": 3, "kind": "rollback", "source": "v2@1", "target": "v1@1"}
_APPROVAL = {"number": 1, "kind": "rollback", "state": "waiting", "target": None, "epoch": 3, "needed": 1}
_FREEZE = {"alias": "live", "reason": "release day", "actor": "anna", "at": "2026-01-31T12:00:00+00:00", "until": None}
_REPORT = {"rollbacks": 2, "success_rate": 1.0, "mttd_seconds": 240.0, "mttr_seconds": 0.1, "drill_rate": None}
_STANDING = {
    "metrics": [{"metric": "error_rate", "phase": "success", "value": 0.001, "at": 1769860800.0}],
    "policy": {"automatic": True, "interval": 60.0, "metrics": [{"name": "error_rate", "failure": "over 0.05"}]},
    "trouble": "",
}
Number = Annotated[int, Path(ge=1, le=2**53)]


@router.get("/incidents", responses=answers(example={"incidents": [_INCIDENT]}))
async def incidents(_: Reading, service: Service, limit: int = Query(20, ge=1, le=1_000)) -> Response:
    """Incidents, newest first, with what is known by now."""
    rows = await service.reads.run(service.store.incidents.all, limit=limit)
    return as_json({"incidents": [asdict(one) for one in rows]})


@router.get("/incidents/{number}", responses=answers(example=_INCIDENT))
async def incident(number: Number, _: Reading, service: Service) -> Response:
    """One incident: timeline, trigger, blast radius, proof."""
    return as_json(asdict(await service.reads.run(service.store.incidents.get, number)))


@router.get(
    "/incidents/{number}/markdown",
    response_class=PlainTextResponse,
    responses=answers()
    | {200: {"description": "The report to complete", "content": {"text/markdown": {"example": "# Incident 1"}}}},
)
async def incident_as_markdown(number: Number, _: Reading, service: Service) -> Response:
    """One incident as `vecrollback incident export` writes it."""
    paper = await service.reads.run(service.store.incidents.paper, number)
    return Response(paper, media_type="text/markdown; charset=utf-8")


@router.post("/incidents/{number}/close", responses=answers(409, example=_INCIDENT | {"state": "closed"}))
async def close(number: Number, body: CloseRequest, caller: Operating, service: Service) -> Response:
    """Close an incident with its cause; it changes no more."""

    def end() -> Incident:
        return service.store.incidents.close(
            number, cause=body.cause, actor=caller.name, detected=body.detected, nature=body.nature
        )

    return as_json(asdict(await service.writes.run(end)))


@router.get("/report", responses=answers(example=_REPORT))
async def report(_: Reading, service: Service, days: float = Query(30.0, ge=0, le=36_500)) -> Response:
    """Time to detect, time to recover, how often rollbacks succeeded and were rehearsed."""
    return as_json(asdict(await service.reads.run(service.store.incidents.performance, days=days)))


@router.get("/policy", responses=answers(example=_STANDING))
async def policy(_: Reading, service: Service) -> Response:
    """How each metric of the policy stood when it was last measured, and what the policy says; null without one.

    `said` of a metric that looks at samples tells of how many queries it saw how many.
    """
    from vecrollback.switching.policy import load_policy

    def look() -> Json:
        standing = service.store.measurements.standing(LIVE)
        try:
            written = load_policy(service.store.root, service.settings.policy)
        except UsageError as error:  # it is not valid: the measurements are worth having all the same
            return {"metrics": standing, "policy": None, "trouble": error.message}
        return {"metrics": standing, "policy": payloads.policy(written) if written else None, "trouble": ""}

    return as_json(await service.reads.run(look))


@router.get("/approvals", responses=answers(example={"approvals": [_APPROVAL]}))
async def approvals(_: Reading, service: Service, waiting: bool = Query(False)) -> Response:
    """Moves that waited or wait for people, newest first."""
    rows = await service.reads.run(service.store.approvals.all, state="waiting" if waiting else None)
    return as_json({"approvals": [asdict(one) for one in rows]})


@router.post(
    "/approvals/{number}", responses=answers(409, example={"approval": _APPROVAL | {"state": "done"}, "switched": None})
)
async def decide(
    number: Number, body: DecisionRequest, caller: Operating, service: Service, request: Request
) -> Response:
    """Agree to a move that waits, or refuse it. The last one who is needed makes it; catch-up and check follow."""

    def decide() -> tuple[Approval, Switched | None, str | None]:
        if body.decision == "reject":
            return service.store.reject(number, reason=body.reason, actor=caller.name), None, None
        result = service.store.approve(number, reason=body.reason, catch_up=False, actor=caller.name)
        approval, switched = result.approval, result.switched
        if switched is None or body.wait:
            return approval, switched, None
        return approval, *start_proof(service, approval.kind, switched)

    approval, switched, job = await run_while_asked(request, service.moves, decide)
    if switched is None:
        return as_json({"approval": asdict(approval), "switched": None})
    if body.wait:
        switched = await prove(service, switched)
    return as_json({"approval": asdict(approval), "switched": payloads.switched(switched) | {"job": job}})


@router.get("/freeze", responses=answers(example={"freeze": _FREEZE}))
async def frozen(_: Reading, service: Service) -> Response:
    """What holds automation back now; null when nothing does."""
    freeze_now = await service.reads.run(service.store.freezes.current)
    return as_json({"freeze": asdict(freeze_now) if freeze_now else None})


@router.post("/freeze", responses=answers(example=_FREEZE))
async def freeze(body: FreezeRequest, caller: Operating, service: Service) -> Response:
    """Let automation move nothing. People still can, and are told."""
    new_freeze = await service.moves.run(service.store.freezes.freeze, body.reason, actor=caller.name, until=body.until)
    return as_json(asdict(new_freeze))


@router.delete("/freeze", responses=answers(example={"was_frozen": True}))
async def unfreeze(caller: Operating, service: Service) -> Response:
    """Let automation act again."""
    return as_json({"was_frozen": await service.moves.run(service.store.freezes.unfreeze, actor=caller.name)})


@router.post("/metrics", responses=answers(example={"kept": 1}))
async def push(body: PushRequest, _: Writing, service: Service) -> Response:
    """Push values that only you can measure, for metrics of the policy with source `pushed`."""
    at = time.time()
    values = [(one.name, one.value, at if one.at is None else one.at) for one in body.values]
    await service.writes.run(service.store.measurements.push, values)
    return as_json({"kept": len(values)})
