"""Golden queries: what pairs are measured by."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from vecrollback.records import GoldenQuery
from vecrollback.server.auth import Operating, Reading
from vecrollback.server.operation_schemas import GoldenRequest
from vecrollback.server.schemas import answers, as_json
from vecrollback.server.service import Service

router = APIRouter(prefix="/v1/golden", tags=["golden queries"])

_QUERY = {
    "id": "3f0a92bc11de",
    "text": "how is espresso brewed",
    "expected": {"coffee": 2},
    "tags": ["incident-12"],
    "created_at": "2026-01-31T12:00:00.000000+00:00",
    "created_by": "anna",
}


@router.get("", responses=answers(example={"queries": [_QUERY], "total": 1}))
async def golden(
    _: Reading,
    service: Service,
    tag: str | None = Query(None, min_length=1, max_length=200),
    limit: int = Query(1_000, ge=1, le=10_000),
) -> Response:
    """Golden queries, oldest first. `total`: how many there are, also beyond the limit."""
    kept = await service.reads.run(service.store.golden.list, tag)
    return as_json({"queries": [asdict(one) for one in kept[:limit]], "total": len(kept)})


@router.post("", responses=answers(409, example=_QUERY))
async def add(body: GoldenRequest, caller: Operating, service: Service) -> Response:
    """Keep a query and the documents that answer it."""

    def keep() -> GoldenQuery:
        return service.store.golden.add(body.text, body.expected, tags=body.tags, id=body.id, actor=caller.name)

    return as_json(asdict(await service.writes.run(keep)))


@router.delete("/{query:path}", responses=answers(example={"removed": ["3f0a92bc11de"]}))
async def remove(
    query: Annotated[str, Path(min_length=1, max_length=200)], caller: Operating, service: Service
) -> Response:
    """Forget a golden query."""

    def forget() -> None:
        service.store.golden.remove(query)
        service.audited(caller.name, "golden.remove", query)

    await service.writes.run(forget)
    return as_json({"removed": [query]})
