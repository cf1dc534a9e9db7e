"""Writing and reading documents."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Response

from vecrollback.errors import UsageError
from vecrollback.records import WriteResult
from vecrollback.server.auth import Reading, Writing
from vecrollback.server.schemas import (
    CountAnswer,
    CountRequest,
    DeleteRequest,
    DocumentsAnswer,
    DropRequest,
    GetRequest,
    ListRequest,
    NamespacesAnswer,
    UpsertRequest,
    WaitRequest,
    WriteAnswer,
    answers,
    as_json,
)
from vecrollback.server.service import Service
from vecrollback.server.settings import ServerSettings
from vecrollback.serving.pair_vectors import pair_vectors
from vecrollback.store import payloads

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_SHOWN_IDS = 20
_WRITTEN = {"seq": 1043, "documents": 1, "head": 1043, "written": 1, "unchanged": 0, "deleted": 0}
_DOCUMENTS = {"documents": [{"id": "tea", "text": "Green tea is steeped.", "metadata": {"kind": "drink"}}]}


@router.post("", responses=answers(409, model=WriteAnswer, example=_WRITTEN))
async def upsert(body: UpsertRequest, caller: Writing, service: Service) -> Response:
    """Write new and changed documents. They are durable when this answers; with `visible` queries find them, too."""
    ids = [one.id for one in body.documents]
    _within(len(ids), service.settings)
    documents = [one.document() for one in body.documents]
    if body.visible:
        await service.reads.run(service.store.live)  # refused before anything is written where nothing serves

    def write() -> WriteResult:
        service.audited(caller.name, "documents.upsert", _list_of(ids))
        vectors = None if body.vectors is None else pair_vectors(body.vectors, body.fingerprint or "")
        return service.store.upsert(documents, if_absent=body.if_absent, namespace=body.namespace, vectors=vectors)

    result = await service.document_writes.run(write)
    if body.visible:
        await service.waits.run(service.store.wait, result.head)
    return as_json({"seq": result.head, "documents": len(documents), **asdict(result)})


@router.post("/wait", responses=answers(409, example={"seq": 1043}))
async def wait(body: WaitRequest, _: Writing, service: Service) -> Response:
    """Answer once the live pair reflects a change, embedding what it lacks if no worker does."""
    await service.waits.run(service.store.wait, body.seq, timeout=body.timeout)
    return as_json({"seq": body.seq})


@router.delete(
    "", responses=answers(409, model=WriteAnswer, example=_WRITTEN | {"seq": 1044, "head": 1044, "deleted": 1})
)
async def delete(body: DeleteRequest, caller: Writing, service: Service) -> Response:
    """Delete documents for good: once this answers no query returns them, whichever pair serves."""
    _within(len(body.ids or ()), service.settings)

    def write() -> WriteResult:
        what = _list_of(body.ids) if body.ids is not None else f"where {str(body.where)[:200]}"
        service.audited(caller.name, "documents.delete", what)
        return service.store.delete(body.ids, body.where, body.namespace)

    result = await service.document_writes.run(write)
    named = len(body.ids) if body.ids is not None else result.deleted
    return as_json({"seq": result.head, "documents": named, **asdict(result)})


@router.post("/get", responses=answers(model=DocumentsAnswer, example=_DOCUMENTS))
async def get(body: GetRequest, _: Reading, service: Service) -> Response:
    """Documents by id. Those that are unknown or deleted are left out."""
    _within(len(body.ids), service.settings)
    found = await service.document_reads.run(service.store.get, body.ids, body.namespace)
    return as_json({"documents": [payloads.document(one) for one in found.values()]})


@router.post("/list", responses=answers(model=DocumentsAnswer, example=_DOCUMENTS))
async def page(body: ListRequest, _: Reading, service: Service) -> Response:
    """A page of all documents, or of those that a filter matches, ordered by id."""
    _within(body.limit, service.settings)

    def read() -> list[payloads.Payload]:
        documents = service.store.documents(body.where, body.after, body.limit, body.namespace)
        return [payloads.document(one) for one in documents]

    return as_json({"documents": await service.document_reads.run(read)})


@router.post("/count", responses=answers(model=CountAnswer, example={"count": 1042}))
async def count(body: CountRequest, _: Reading, service: Service) -> Response:
    """How many documents there are, or match a filter."""
    return as_json({"count": await service.document_reads.run(service.store.count, body.where, body.namespace)})


@router.get("/namespaces", responses=answers(model=NamespacesAnswer, example={"namespaces": {"": 1042, "kb-7": 17}}))
async def namespaces(_: Reading, service: Service) -> Response:
    """How many documents each namespace has."""
    return as_json({"namespaces": await service.document_reads.run(service.store.namespaces)})


@router.post("/namespaces/drop", responses=answers(409, model=WriteAnswer, example=_WRITTEN | {"deleted": 17}))
async def drop_namespace(body: DropRequest, caller: Writing, service: Service) -> Response:
    """Delete all documents of a namespace for good."""

    def write() -> WriteResult:
        service.audited(caller.name, "namespace.drop", body.namespace[:200])
        return service.store.drop_namespace(body.namespace)

    result = await service.document_writes.run(write)
    return as_json({"seq": result.head, "documents": result.deleted, **asdict(result)})


def _within(documents: int, limits: ServerSettings) -> None:
    if documents > limits.max_documents:
        raise UsageError(
            f"{documents} documents in one request; this server allows {limits.max_documents}",
            hint="send several requests; each is durable when it answers",
        )


def _list_of(ids: list[str]) -> str:
    """Which documents, for the audit; of many the first ones and the count."""
    more = f" and {len(ids) - _SHOWN_IDS} more" if len(ids) > _SHOWN_IDS else ""
    return ", ".join(ids[:_SHOWN_IDS]) + more
