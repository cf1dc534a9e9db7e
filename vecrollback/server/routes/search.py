"""Search, and what tells how things stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from vecrollback.errors import UsageError
from vecrollback.server.auth import Reading
from vecrollback.server.schemas import EmbedRequest, SearchRequest, answers, as_json
from vecrollback.server.service import Service
from vecrollback.server.settings import ServerSettings
from vecrollback.serving.answering import require_no_words, search_options
from vecrollback.serving.reranking.ordering import require_named
from vecrollback.store import payloads

router = APIRouter(prefix="/v1", tags=["search and status"])

_RESULT = {
    "pair": "v1",
    "snapshot": 1,
    "epoch": 3,
    "watermark": 1042,
    "settings": {"threshold": 0.4},
    "hits": [{"id": "tea", "score": 0.83, "text": "Green tea is steeped.", "metadata": {}, "chunk": 0, "stale": False}],
    "current": True,
    "canary": False,
    "doubt": "",
    "reason": "",
    "metric": "cosine",
    "dimension": 384,
    "fingerprint": "9f2c...",
    "vectors_version": 4,
    "head": 1042,
    "cache_key": "v1@1.4.1042",
    "answered_by": "pair",
    "measured": None,
    "mode": "vector",
    "reranker": "",
}
_SEVERAL = "send several batches, or let the server take more at once: vecrollback serve --max-batch N"
_VECTORS = {"vectors": [[0.6, 0.8]], "fingerprint": "9f2c...", "pair": "v1", "epoch": 3}
_MOVE = {
    "number": 3,
    "alias": "live",
    "epoch": 2,
    "kind": "rollback",
    "from": "v2@1",
    "to": "v1@1",
    "reason": "answers got worse",
    "actor": "operator-1",
    "at": "2026-01-31T12:00:00.000000+00:00",
    "previous_hash": "ab...",
    "hash": "cd...",
}
_LINE = {"name": "live", "state": "ok", "sentence": "v1@1 since epoch 3, up to date, 4 searchers of it", "command": ""}
_SITUATION = {
    "at": "2026-01-31T12:00:00.000000+00:00",
    "state": "ok",
    "verdict": "Well",
    "sentence": "Well: everything is as it should be",
    "lines": [_LINE],
}
_STATUS = {"alias": {"live": {"pair": "v1", "snapshot": 1, "epoch": 3}}, "situation": _SITUATION}


@router.post("/search", responses=answers(409, example=_RESULT))
async def search(
    body: SearchRequest,
    _: Reading,
    service: Service,
    header: Annotated[str | None, Header(alias="X-Vecrollback-Key", min_length=1, max_length=200)] = None,
) -> Response:
    """The nearest documents, from the pair that is live at this moment; `{"results": [...]}` for several queries."""
    queries = [body.query] if body.query is not None else body.queries or []
    _within(body, queries, service.settings)
    options = search_options(
        body.k,
        body.where,
        body.namespace,
        body.mode,
        include_vectors=body.include_vectors,
        weights=None if body.weights is None else (body.weights[0], body.weights[1]),
        reranker=body.reranker,
    )
    if body.reranker is not None:
        # A caller chooses among what the operator has set up, and never a model or a file of his own.
        require_named(body.reranker, service.store.resources.root)
    if body.vectors is not None:
        require_no_words(options)
        results = await service.search_vectors(body.vectors, body.fingerprint or "", options)
    else:
        results = await service.search(queries, options, body.key or header) if queries else []
    bodies = [payloads.result(one) for one in results]
    return as_json(bodies[0] if body.query is not None else {"results": bodies})


@router.post("/embed", responses=answers(409, example=_VECTORS))
async def embed(body: EmbedRequest, _: Reading, service: Service) -> Response:
    """Vectors by the model of the pair that is live, with what says so; one for each text, in their order."""
    texts = body.queries if body.queries is not None else body.documents or []
    if len(texts) > service.settings.max_batch:
        raise UsageError(f"{len(texts)} texts; this server allows {service.settings.max_batch}", hint=_SEVERAL)
    _no_unfit(body.queries or (), service.settings)
    make = service.searcher.embed_documents if body.queries is None else service.searcher.embed_queries
    return as_json(payloads.vectors(await service.embeds.run(make, texts)))


def _within(body: SearchRequest, queries: list[str], limits: ServerSettings) -> None:
    if body.k > limits.max_k:
        raise UsageError(f"k is {body.k}; this server allows {limits.max_k}", hint="ask for fewer")
    if max(len(queries), len(body.vectors or ())) > limits.max_batch:
        asked = len(queries) or len(body.vectors or ())
        raise UsageError(f"{asked} queries; this server allows {limits.max_batch}", hint=_SEVERAL)
    _no_unfit(queries, limits)


def _no_unfit(queries: Sequence[str], limits: ServerSettings) -> None:
    for query in queries:
        if not query.strip():
            raise UsageError("a query is blank", hint="pass the words to search for")
        if len(query) > limits.max_query:
            raise UsageError(f"a query has {len(query)} characters; this server allows {limits.max_query}")


@router.get("/status", responses=answers(example=_STATUS))
async def status(_: Reading, service: Service) -> Response:
    """What is live, how far behind it is, where a rollback would go right now, and what is unfinished."""
    return as_json(await service.reads.run(payloads.status, service.store, service.situation))


@router.get("/situation", responses=answers(example=_SITUATION))
async def situation(_: Reading, service: Service) -> Response:
    """How everything stands, a line for each thing. Answers while the catalog is lost, too: then most is `unknown`."""
    return as_json(payloads.situation(await service.reads.run(service.situation)))


@router.get("/pairs", responses=answers(example={"pairs": [{"name": "v1", "state": "live", "lag": 0}]}))
async def pairs(_: Reading, service: Service) -> Response:
    """Every pair: its state, its embedder, how far behind it is, and what its last check said."""
    return as_json(await service.reads.run(payloads.pairs, service.store))


@router.get("/history", responses=answers(example={"moves": [_MOVE]}))
async def history(
    _: Reading,
    service: Service,
    alias: str | None = Query(None, max_length=200),
    limit: int | None = Query(None, ge=1, le=10_000),
) -> Response:
    """Pointer moves, newest first: when, from where to where, by whom and why."""
    return as_json(payloads.moves(await service.reads.run(service.store.history, alias=alias, limit=limit)))
