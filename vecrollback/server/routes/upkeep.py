"""Bringing a pair up to date, and mending what a check found, as jobs beside the queries."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Query, Response

from vecrollback.errors import FailedError
from vecrollback.records import CatchUp, ProgressCallback, Report, UnembeddedDocument
from vecrollback.server.auth import Operating, Reading
from vecrollback.server.operation_schemas import AcceptRequest, CatchUpRequest, PairRequest, WithdrawRequest
from vecrollback.server.routes.jobs import EXAMPLE as JOB
from vecrollback.server.routes.jobs import shown
from vecrollback.server.schemas import answers, as_json
from vecrollback.server.service import Service
from vecrollback.store import payloads

router = APIRouter(prefix="/v1", tags=["operating"])

_CAUGHT_UP = {
    "pair": "v1",
    "watermark": 42,
    "lag": 0,
    "documents": 3,
    "embedded": 3,
    "reused": 0,
    "chunks": 3,
    "seconds": 0.4,
    "bridged": 0,
}
_REPORT = {"pair": "v1", "snapshot": 1, "level": "full", "verdict": "pass", "findings": [], "certificate": None}
_LEFT_OUT = {
    "pair": "v1",
    "document": "d7",
    "seq": 12,
    "job": "5f0c2a9be871",
    "reason": "the input length exceeds the context length",
    "at": "2026-01-31T12:00:00.000000+00:00",
    "acceptance": {
        "pair": "v1",
        "document": "d7",
        "seq": 12,
        "reason": "a table of digits",
        "actor": "anna",
        "at": "2026-01-31T12:00:00.000000+00:00",
    },
}
_AS_JOB: dict[int | str, Any] = {
    202: {"description": "It goes on as a job", "content": {"application/json": {"example": {"job": JOB}}}}
}


@router.post("/catch-up", responses=answers(409, example=_CAUGHT_UP) | _AS_JOB)
async def catch_up(body: CatchUpRequest, caller: Operating, service: Service) -> Response:
    """Bring a pair to the head of the log with its own embedder, while it serves."""

    def bring(progress: ProgressCallback) -> CatchUp:
        return service.store.catch_up(body.pair, by=body.by, progress=progress)

    await service.writes.run(service.audited, caller.name, "pair.catch-up", body.pair)
    if body.wait:
        return as_json(asdict(await service.operations.run(bring, service.progress())))
    pair = await service.reads.run(service.store.pair, body.pair)
    job = await service.writes.run(service.start, "bring-up-to-date", pair.name, bring)
    return as_json({"job": shown(job.status())}, 202)


@router.post("/repair", responses=answers(409, example={"before": _REPORT, "after": None}) | _AS_JOB)
async def repair(body: PairRequest, caller: Operating, service: Service) -> Response:
    """Check a pair, embed again what is wrong, and check once more; `after` is null where nothing was wrong."""

    def mend(progress: ProgressCallback) -> tuple[Report, Report | None]:
        before = service.store.check(body.pair, progress=progress)
        wrong = before.verdict != "pass" or before.ids("bridged_vector")
        return before, None if not wrong else service.store.repair(before, progress=progress)

    def mend_or_fail(progress: ProgressCallback) -> Report:
        before, after = mend(progress)
        last = after or before
        if last.verdict != "pass":
            raise FailedError(f"the check of {last.pair} says {last.verdict} after the repair", hint="GET /v1/reports")
        return last

    await service.writes.run(service.audited, caller.name, "pair.repair", body.pair)
    if body.wait:
        before, after = await service.operations.run(mend, service.progress())
        return as_json({"before": payloads.report(before), "after": payloads.report(after) if after else None})
    pair = await service.reads.run(service.store.pair, body.pair)
    job = await service.writes.run(service.start, "mend", pair.name, mend_or_fail)
    return as_json({"job": shown(job.status())}, 202)


@router.get("/unembedded", responses=answers(example={"documents": [_LEFT_OUT]}))
async def unembedded(
    _: Reading,
    service: Service,
    job: str | None = Query(None, min_length=1, max_length=64),
    pair: str | None = Query(None, min_length=1, max_length=200),
) -> Response:
    """Documents that a model could not embed, and who accepted that they have no vector; null: nobody did."""
    return _listed(await service.reads.run(service.store.unembedded_documents, job, pair=pair))


@router.post("/unembedded/accept", responses=answers(409, example={"documents": [_LEFT_OUT]}))
async def accept(body: AcceptRequest, caller: Operating, service: Service) -> Response:
    """Accept by name that documents have no vector: a check then warns of them in place of `unknown`."""
    return _listed(
        await service.writes.run(service.store.accept, body.pair, body.documents, reason=body.reason, actor=caller.name)
    )


@router.post("/unembedded/withdraw", responses=answers(409, example={"documents": [_LEFT_OUT | {"acceptance": None}]}))
async def withdraw(body: WithdrawRequest, caller: Operating, service: Service) -> Response:
    """Take back that documents were accepted."""
    return _listed(
        await service.writes.run(service.store.withdraw_acceptance, body.pair, body.documents, actor=caller.name)
    )


def _listed(documents: list[UnembeddedDocument]) -> Response:
    return as_json({"documents": [asdict(one) for one in documents]})
