"""For load balancers and monitoring."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from vecrollback.server.auth import Reading
from vecrollback.server.schemas import answers, as_json
from vecrollback.server.service import Service

router = APIRouter(tags=["health"])

_READY = {"ready": True, "current": True, "reason": ""}


@router.head("/healthz", include_in_schema=False)  # some balancers ask so
@router.get("/healthz", responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}})
async def healthz() -> Response:
    """The process lives and answers. Needs no token."""
    return as_json({"status": "ok"})


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    responses={
        200: {"description": "It answers queries", "content": {"application/json": {"example": _READY}}},
        503: {"description": "It does not, or not any more"},
    },
)
async def readyz(service: Service) -> Response:
    """Whether queries are answered; `current` is false while that is from what was last known. Needs no token.

    A catalog that cannot be read does not make a searcher unready: all would leave the load balancer at once, and
    answers that say they may be old would become none.
    """
    reason = await service.unready()
    current = service.searcher.current
    searcher = service.searcher
    last_known = searcher.trouble or f"{searcher.reason}: answers come from what was last known"
    sentence = reason or ("" if current else last_known)
    return as_json({"ready": not reason, "current": current, "reason": sentence}, 503 if reason else 200)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses=answers() | {200: {"description": "Prometheus text format", "content": {"text/plain": {}}}},
)
async def metrics(_: Reading, service: Service) -> Response:
    """Counters and gauges of all workers."""
    return Response(await service.reads.run(service.metrics_page), media_type=CONTENT_TYPE_LATEST)
