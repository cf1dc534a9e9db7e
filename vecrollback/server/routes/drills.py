"""Drills: a rollback rehearsed with real processes, beside what serves."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Query, Response

from vecrollback.errors import FailedError
from vecrollback.records import Drill, ProgressCallback
from vecrollback.server.auth import Operating, Reading
from vecrollback.server.operation_schemas import DrillRequest
from vecrollback.server.routes.jobs import EXAMPLE as JOB
from vecrollback.server.routes.jobs import shown
from vecrollback.server.schemas import answers, as_json
from vecrollback.server.service import Service

router = APIRouter(prefix="/v1/drills", tags=["operations"])

_DRILL = {
    "number": 4,
    "chaos": "",
    "epoch": 3,
    "source": "v2@1",
    "target": "v1@1",
    "verdict": "pass",
    "phases": [{"name": "switch", "seconds": 0.2, "ok": True, "said": "", "limit": 5.0}],
    "said": "",
    "actor": "anna",
    "at": "2026-01-31T12:00:00.000000+00:00",
    "seconds": 6.1,
}


@router.get("", responses=answers(example={"drills": [_DRILL]}))
async def drills(_: Reading, service: Service, limit: int = Query(20, ge=1, le=1_000)) -> Response:
    """Drills, newest first."""
    rows = await service.reads.run(service.store.drills, limit=limit)
    return as_json({"drills": [asdict(one) for one in rows]})


@router.post(
    "",
    responses=answers(409, example=_DRILL)
    | {202: {"description": "It goes on as a job", "content": {"application/json": {"example": {"job": JOB}}}}},
)
async def drill(body: DrillRequest, caller: Operating, service: Service) -> Response:
    """Rehearse a rollback; nothing that serves is moved. Its searchers and its check are processes of their own."""

    def rehearse(_progress: ProgressCallback | None = None) -> Drill:
        return service.store.drill(body.chaos, actor=caller.name)

    def as_job(progress: ProgressCallback) -> Drill:
        outcome = rehearse(progress)
        if outcome.verdict != "pass":  # so that nobody who sees a job that is done takes it for a drill that passed
            raise FailedError(f"drill {outcome.number}: {outcome.verdict}. {outcome.said}", hint="GET /v1/drills")
        return outcome

    if body.wait:
        return as_json(asdict(await service.operations.run(rehearse)))
    live = await service.reads.run(service.store.live)
    job = await service.writes.run(service.start, "drill", live.name, as_job)
    return as_json({"job": shown(job.status())}, 202)
