"""Long work: what runs, how far it is, and stopping it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from vecrollback.records import JobRecord, Json
from vecrollback.server.auth import Operating
from vecrollback.server.schemas import answers, as_json
from vecrollback.server.service import Service, StoreService

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_LOOK_SECONDS = 0.25
_ALIVE_SECONDS = 15.0
"""How often a stream says something when nothing happens: proxies close silent connections."""

EXAMPLE = {
    "id": "5f0c2a9be871",
    "kind": "rollback",
    "pair": "v1",
    "state": "running",
    "cancel": False,
    "progress": {"phase": "embedding", "documents": 12, "total": 40},
    "error": "",
    "started_at": "2026-01-31T12:00:00.000000+00:00",
    "updated_at": "2026-01-31T12:00:01.000000+00:00",
    "host": "search-1",
    "pid": 4711,
    "paused": False,
}

JobId = Annotated[str, Path(min_length=1, max_length=64)]


def shown(job: JobRecord) -> dict[str, Json]:
    return asdict(job)


@router.get("", responses=answers(example={"jobs": [EXAMPLE]}))
async def jobs(
    _: Operating,
    service: Service,
    unfinished: bool = Query(False),
    kind: Annotated[str | None, Query(max_length=64)] = None,
    pair: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int | None, Query(ge=1, le=10_000)] = None,
) -> Response:
    """Jobs, newest first."""
    records = await service.reads.run(service.store.jobs, unfinished=unfinished, kind=kind, pair=pair, limit=limit)
    return as_json({"jobs": [shown(job) for job in records]})


@router.get("/{job}", responses=answers(example=EXAMPLE))
async def one(job: JobId, _: Operating, service: Service) -> Response:
    """One job."""
    return as_json(shown(await service.reads.run(service.store.job, job)))


@router.post("/{job}/cancel", responses=answers(example=EXAMPLE))
async def cancel(job: JobId, caller: Operating, service: Service) -> Response:
    """Ask a job to stop at its next batch; what is done stays done. A job that has ended stays as it is."""
    await service.reads.run(service.store.job, job)
    await service.writes.run(service.audited, caller.name, "job.cancel", job)
    return as_json(shown(await service.writes.run(service.store.cancel, job)))


@router.post("/{job}/pause", responses=answers(example=EXAMPLE | {"paused": True}))
async def pause(job: JobId, caller: Operating, service: Service) -> Response:
    """Let a job wait before its next batch, wherever it runs."""
    return await _set_paused(job, caller.name, service, paused=True)


@router.post("/{job}/resume", responses=answers(example=EXAMPLE))
async def resume(job: JobId, caller: Operating, service: Service) -> Response:
    """Let a paused job go on."""
    return await _set_paused(job, caller.name, service, paused=False)


async def _set_paused(job: str, actor: str, service: StoreService, *, paused: bool) -> Response:
    await service.reads.run(service.store.job, job)
    await service.writes.run(service.audited, actor, "job.pause" if paused else "job.resume", job)
    return as_json(shown(await service.writes.run(service.store.pause if paused else service.store.resume, job)))


@router.get(
    "/{job}/events",
    response_class=StreamingResponse,
    responses=answers() | {200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}},
)
async def events(job: JobId, _: Operating, service: Service) -> Response:
    """Server-sent events: `progress` with the job at each change, then `end` with the job as it ended."""
    await service.reads.run(service.store.job, job)  # a name that is unknown is told by the status
    return _EventStream(_stream(job, service), service.open_stream())


class _EventStream(StreamingResponse):
    """Server-sent events. `close` is called when all are sent, and when their reader has left, before the first too."""

    def __init__(self, events: AsyncIterator[str], close: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


async def _stream(job: str, service: StoreService) -> AsyncIterator[str]:
    last: JobRecord | None = None
    spoke = time.monotonic()
    while not service.closing:
        record = await service.reads.run(service.store.job, job)
        if record != last:
            last, spoke = record, time.monotonic()
            yield f"event: progress\ndata: {json.dumps(shown(record))}\n\n"
        if record.state != "running":
            yield f"event: end\ndata: {json.dumps(shown(record))}\n\n"
            return
        if time.monotonic() - spoke > _ALIVE_SECONDS:
            spoke = time.monotonic()
            yield ": alive\n\n"
        await asyncio.sleep(_LOOK_SECONDS)
