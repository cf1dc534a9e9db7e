"""Writing documents."""

from __future__ import annotations

from fastapi import APIRouter, Response

from vecrollback.errors import UsageError
from vecrollback.server.auth import Writing
from vecrollback.server.schemas import DeleteRequest, UpsertRequest, WriteAnswer, answers, as_json
from vecrollback.server.service import Service
from vecrollback.server.settings import ServerSettings

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_SHOWN_IDS = 20


@router.post("", responses=answers(409, model=WriteAnswer, example={"seq": 1043, "documents": 1}))
async def upsert(body: UpsertRequest, caller: Writing, service: Service) -> Response:
    """Write new and changed documents. They are durable when this answers; a worker embeds them."""
    _within([one.id for one in body.documents], service.settings)
    documents = [one.document() for one in body.documents]

    def write() -> int:
        service.audited(caller.name, "documents.upsert", _list_of([one.id for one in documents]))
        return service.store.upsert(documents)

    return as_json({"seq": await service.writes.run(write), "documents": len(documents)})


@router.delete("", responses=answers(409, model=WriteAnswer, example={"seq": 1044, "documents": 1}))
async def delete(body: DeleteRequest, caller: Writing, service: Service) -> Response:
    """Delete documents for good: once this answers no query returns them, whichever pair serves."""
    _within(body.ids, service.settings)

    def write() -> int:
        service.audited(caller.name, "documents.delete", _list_of(body.ids))
        return service.store.delete(body.ids)

    return as_json({"seq": await service.writes.run(write), "documents": len(body.ids)})


def _within(ids: list[str], limits: ServerSettings) -> None:
    if len(ids) > limits.max_documents:
        raise UsageError(
            f"{len(ids)} documents in one request; this server allows {limits.max_documents}",
            hint="send several requests; each is durable when it answers",
        )


def _list_of(ids: list[str]) -> str:
    """Which documents, for the audit; of many the first ones and the count."""
    more = f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
    return ", ".join(ids[:_SHOWN_IDS]) + more
