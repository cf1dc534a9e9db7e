"""Snapshots: listed, taken, and named so that they stay."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from vecrollback.records import Json
from vecrollback.server.auth import Operating, Reading
from vecrollback.server.operation_schemas import SnapshotRequest, TagRequest
from vecrollback.server.schemas import answers, as_json
from vecrollback.server.service import Service
from vecrollback.store import payloads

router = APIRouter(prefix="/v1/snapshots", tags=["operations"])

_SNAPSHOT = {
    "ref": "v1@3",
    "pair": "v1",
    "number": 3,
    "manifest": "c41f....json",
    "watermark": 42,
    "vectors_version": 7,
    "created_at": "2026-01-31T12:00:00.000000+00:00",
    "recall": 0.99,
    "chunks": 60,
    "tags": ["before-migration"],
}


@router.get("", responses=answers(example={"snapshots": [_SNAPSHOT]}))
async def snapshots(
    _: Reading, service: Service, pair: str | None = Query(None, min_length=1, max_length=200)
) -> Response:
    """Snapshots of one pair or of all, oldest first; POST /v1/restore lets one serve."""

    def look() -> list[Json]:
        tags = service.store.tags()
        return [payloads.snapshot(one, tags) for one in service.store.snapshots(pair)]

    return as_json({"snapshots": await service.reads.run(look)})


@router.post("", responses=answers(409, example=_SNAPSHOT))
async def take(body: SnapshotRequest, caller: Operating, service: Service) -> Response:
    """Take a snapshot of a pair as it is now; it costs what changed since the last one."""

    def snapshot() -> Json:
        taken = service.store.snapshot(body.pair, rebuild=body.rebuild)
        service.audited(caller.name, "snapshot.create", taken.ref)
        return payloads.snapshot(taken, service.store.tags())

    return as_json(await service.operations.run(snapshot))


@router.get("/tags", responses=answers(example={"tags": {"before-migration": "v1@3"}}))
async def tags(_: Reading, service: Service) -> Response:
    """Names of snapshots, and what each means."""
    return as_json({"tags": await service.reads.run(service.store.tags)})


@router.post("/tags", responses=answers(409, example={"name": "before-migration", "ref": "v1@3"}))
async def tag(body: TagRequest, caller: Operating, service: Service) -> Response:
    """Name a snapshot; a tagged one is kept by every prune."""

    def name() -> str:
        service.store.tag(body.name, body.ref)
        service.audited(caller.name, "snapshot.tag", f"{body.name} {body.ref}")
        return service.store.tags()[body.name]

    return as_json({"name": body.name, "ref": await service.writes.run(name)})


@router.delete("/tags/{name}", responses=answers(409, example={"removed": "before-migration"}))
async def untag(
    name: Annotated[str, Path(min_length=1, max_length=200)], caller: Operating, service: Service
) -> Response:
    """Take a name away; its snapshot stays until a prune or somebody deletes it."""

    def forget() -> None:
        service.store.untag(name)
        service.audited(caller.name, "snapshot.untag", name)

    await service.writes.run(forget)
    return as_json({"removed": name})
