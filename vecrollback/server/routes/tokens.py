"""Tokens and the audit, for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from vecrollback.server.auth import Administering
from vecrollback.server.schemas import TokenRequest, answers, as_json
from vecrollback.server.service import Service

router = APIRouter(prefix="/v1", tags=["administration"])

_TOKEN = {
    "name": "shop-frontend",
    "role": "reader",
    "created_at": "2026-01-31T12:00:00.000000+00:00",
    "created_by": "admin-1",
    "revoked_at": None,
    "expires_at": "2026-05-01T12:00:00.000000+00:00",
    "last_used_at": None,
}
_AUDITED = {
    "number": 7,
    "at": "2026-01-31T12:00:00.000000+00:00",
    "actor": "writer-1",
    "action": "documents.delete",
    "subject": "tea",
}


@router.get("/tokens", responses=answers(example={"tokens": [_TOKEN]}))
async def tokens(_: Administering, service: Service) -> Response:
    """Every token, revoked ones too. Their secrets are kept nowhere."""
    return as_json({"tokens": [asdict(one) for one in await service.reads.run(service.store.access.tokens)]})


@router.post("/tokens", status_code=201, responses=answers(status=201, example=_TOKEN | {"secret": "vr_..."}))
async def create(body: TokenRequest, caller: Administering, service: Service) -> Response:
    """Make a token; its secret is in this answer and nowhere else."""
    token_and_secret = await service.writes.run(
        service.store.access.create, body.role, body.name, actor=caller.name, expires=body.expires
    )
    return as_json(asdict(token_and_secret[0]) | {"secret": token_and_secret[1]}, 201)


@router.delete("/tokens/{name}", responses=answers(example=_TOKEN | {"revoked_at": "2026-01-31T12:00:00+00:00"}))
async def revoke(name: Annotated[str, Path(max_length=64)], caller: Administering, service: Service) -> Response:
    """Revoke a token. Workers refuse it within a second."""
    return as_json(asdict(await service.writes.run(service.store.access.revoke, name, actor=caller.name)))


@router.get("/audit", responses=answers(example={"entries": [_AUDITED]}))
async def audit(_: Administering, service: Service, limit: int = Query(100, ge=1, le=10_000)) -> Response:
    """Changes that were no pointer moves, newest first; those moves are in /v1/history."""
    return as_json({"entries": [asdict(one) for one in await service.reads.run(service.store.access.audit, limit)]})
