"""What an operator looks at before and after a move: reports, the last minutes, two pairs side by side, a map."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Query, Response

from vecrollback.errors import UsageError
from vecrollback.records import Json
from vecrollback.server.auth import Operating, Reading
from vecrollback.server.schemas import CompareRequest, answers, as_json
from vecrollback.server.service import Service
from vecrollback.server.traffic_series import TimeSpan, score_edges
from vecrollback.store import payloads

router = APIRouter(prefix="/v1", tags=["inspecting"])

_HIT = {"id": "tea", "score": 0.83, "text": "Green tea is steeped.", "metadata": {}, "chunk": 0, "stale": False}
_ANSWER = {"pair": "v1", "snapshot": 1, "epoch": 0, "watermark": 42, "settings": {}, "hits": [_HIT], "current": True}
_COMPARED = {
    "query": "tea",
    "a": _ANSWER,
    "b": _ANSWER | {"pair": "v2"},
    "overlap": 1.0,
    "places": [{"id": "tea", "a": 1, "b": 1}],
}
_SPAN = {
    "at": 1769860800,
    "epoch": 3,
    "answers": 120,
    "errors": 0,
    "p50_ms": 4.1,
    "p99_ms": 9.0,
    "lag": 12,
    "scores": [0, 3, 117],
}
_MAP = {
    "pair": "v1",
    "snapshot": 1,
    "population": 1042,
    "explained": [0.21, 0.08],
    "fingerprint": "9f2c...",
    "columns": ["id", "chunk", "x", "y", "fingerprint", "named"],
    "points": [["tea", 0, 0.12, -0.4, "9f2c...", False]],
}


@router.get("/whoami", responses=answers(example={"name": "anna", "role": "operator"}))
async def whoami(caller: Reading) -> Response:
    """Who the server takes you for, and how far that reaches."""
    return as_json({"name": caller.name, "role": caller.role})


@router.get("/reports", responses=answers(example={"reports": [{"pair": "v1", "verdict": "pass", "findings": []}]}))
async def reports(
    _: Reading,
    service: Service,
    pair: str | None = Query(None, min_length=1, max_length=200),
    limit: int = Query(20, ge=1, le=200),
) -> Response:
    """Reports of checks that were kept, newest first. Of the ids of a finding the first hundred."""
    rows = await service.reads.run(service.store.inspection.reports, pair, limit=limit)
    return as_json({"reports": [_shorten(payloads.report(one)) for one in rows]})


@router.get("/series", responses=answers(example={"step": 2, "scores_from": [-0.2, 0.8, 0.9], "spans": [_SPAN]}))
async def series(_: Reading, service: Service, seconds: int = Query(600, ge=10, le=3600)) -> Response:
    """Answers, errors, latency, best scores and lag of the last seconds by epoch, all workers together."""
    step = max(1, seconds // 300)
    spans = await service.reads.run(service.series.spans, seconds, step)
    return as_json({"step": step, "scores_from": score_edges(), "spans": _rows(spans)})


@router.post("/compare", responses=answers(409, example=_COMPARED))
async def compare(body: CompareRequest, _: Operating, service: Service) -> Response:
    """One query on two pairs. The first time it loads what of the two is not loaded yet."""
    if body.k > service.settings.max_k:
        raise UsageError(f"k is {body.k}; this server allows {service.settings.max_k}", hint="ask for fewer")
    if len(body.query) > service.settings.max_query:
        raise UsageError(f"the query has {len(body.query)} characters; this server allows {service.settings.max_query}")
    arguments = body.query, body.a, body.b, body.k
    return as_json(payloads.compared(await service.inspections.run(service.store.inspection.compare, *arguments)))


@router.get("/map", responses=answers(409, example=_MAP))
async def vector_map(
    _: Operating,
    service: Service,
    pair: str = Query(min_length=1, max_length=200),
    sample: int = Query(1_500, ge=10, le=5_000),
) -> Response:
    """A sample of a pair's vectors in the plane, by the fingerprint they were recorded with. Reads the pair's rows."""
    points = await service.inspections.run(service.store.inspection.map, pair, sample=sample)
    return as_json(payloads.vector_map(points))


def _rows(spans: Sequence[TimeSpan]) -> list[Json]:
    return [
        {
            "at": span.at,
            "epoch": span.epoch,
            "answers": span.answers,
            "errors": span.errors,
            "p50_ms": _ms(span.quantile(0.5)),
            "p99_ms": _ms(span.quantile(0.99)),
            "lag": span.lag,
            "scores": span.scores.tolist(),
        }
        for span in spans
    ]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _shorten(report: dict[str, Json]) -> dict[str, Json]:
    return report | {"findings": [one | {"ids": one["ids"][:100]} for one in report["findings"]]}
