"""For load balancers and monitoring."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from vecrollback.server.auth import Reading
from vecrollback.server.routes.responses import Held, answers, as_json

router = APIRouter(tags=["health"])

_READY = {"ready": True, "current": True, "reason": ""}


@router.get("/healthz", responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}})
async def healthz() -> Response:
    """The process lives and answers. Needs no token."""
    return as_json({"status": "ok"})


@router.get(
    "/readyz",
    responses={
        200: {"description": "It answers queries", "content": {"application/json": {"example": _READY}}},
        503: {"description": "It does not, or not any more"},
    },
)
async def readyz(held: Held) -> Response:
    """Whether queries are answered; `current` is false while that is from what was last known. Needs no token.

    A catalog that cannot be read does not make a searcher unready: all would leave the load balancer at once, and
    answers that say they may be old would become none.
    """
    reason = await held.reads.run(held.unready)
    current = held.searcher.current
    said = reason or ("" if current else "the catalog cannot be read: answers come from what was last known")
    return as_json({"ready": not reason, "current": current, "reason": said}, 503 if reason else 200)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses=answers() | {200: {"description": "Prometheus text format", "content": {"text/plain": {}}}},
)
async def metrics(_: Reading, held: Held) -> Response:
    """Counters and gauges of all workers."""
    return Response(await held.reads.run(held.metrics.page, held.store), media_type=CONTENT_TYPE_LATEST)
