"""Each method as a value: what is sent, and how the answer is read. Both clients send the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal, TypeVar

import httpx

from vecrollback.client import responses
from vecrollback.errors import UnreachableError, UsageError
from vecrollback.records import (
    Bridge,
    CorpusRollback,
    Document,
    Forecast,
    IfAbsent,
    JobRecord,
    Json,
    ModelAnswer,
    Move,
    Pair,
    PairVectors,
    Report,
    Result,
    SearchMode,
    SearchOptions,
    Situation,
    Switched,
    Weights,
    Where,
    WriteResult,
    where_text,
)

T = TypeVar("T")
PairLike = Pair | str
Level = Literal["full", "quick"]
Queries = list[str] | tuple[str, ...]

SECONDS = 30.0
_PAGE = 500
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class HttpCall(Generic[T]):
    """One request. `long`: it may take as long as the work behind it."""

    method: str
    path: str
    read: Callable[[Json], T]
    body: Json = None
    query: dict[str, str | int] = field(default_factory=dict)
    long: bool = False


def search(query: str, options: SearchOptions, key: str | None) -> HttpCall[Result]:
    return HttpCall("POST", "/v1/search", responses.result, {"query": query, **_options(options, key)})


def search_many(
    queries: Sequence[str] | PairVectors, options: SearchOptions, key: str | None
) -> HttpCall[list[Result]]:
    if isinstance(queries, PairVectors):
        asked: dict[str, Json] = {"vectors": queries.tolist(), "fingerprint": queries.fingerprint}
    else:
        asked = {"queries": list(queries)}
    return HttpCall(
        "POST",
        "/v1/search",
        lambda answer: [responses.result(one) for one in answer["results"]],
        asked | _options(options, key),
    )


def options(
    k: int,
    where: Where | None,
    namespace: str | None,
    mode: SearchMode,
    include_vectors: bool,
    weights: Weights | None,
    reranker: str | None,
) -> SearchOptions:
    return SearchOptions(k, where_text(where), namespace or "", include_vectors, mode, weights, reranker)


def embed(texts: Sequence[str], kind: Literal["queries", "documents"]) -> HttpCall[PairVectors]:
    return HttpCall("POST", "/v1/embed", responses.vectors, {kind: list(texts)}, long=True)


def upsert(
    documents: Iterable[Document],
    visible: bool,
    if_absent: IfAbsent | None,
    namespace: str | None,
    vectors: PairVectors | None,
) -> HttpCall[WriteResult]:
    body: dict[str, Json] = {"documents": [_document(document) for document in documents]}
    # Left out where it is not asked for: a server of an older version refuses a field that it does not know.
    body |= ({"visible": True} if visible else {}) | ({"if_absent": if_absent} if if_absent else {}) | _in(namespace)
    if vectors is not None:
        body |= {"vectors": vectors.tolist(), "fingerprint": vectors.fingerprint}
    return HttpCall("POST", "/v1/documents", responses.write_result, body, long=visible)


def wait(seq: int, timeout: float) -> HttpCall[None]:
    return HttpCall("POST", "/v1/documents/wait", lambda _: None, {"seq": seq, "timeout": timeout}, long=True)


def delete(ids: Iterable[str] | None, where: Where | None, namespace: str | None) -> HttpCall[WriteResult]:
    body: dict[str, Json] = _in(namespace) | ({} if ids is None else {"ids": _ids("delete", ids)})
    if where is not None:
        body |= {"where": where_text(where) or ""}
    return HttpCall("DELETE", "/v1/documents", responses.write_result, body)


def get(ids: Iterable[str], namespace: str | None) -> HttpCall[dict[str, Document]]:
    def read(answer: Json) -> dict[str, Document]:
        return {document.id: document for document in responses.documents(answer)}

    return HttpCall("POST", "/v1/documents/get", read, {"ids": _ids("get", ids), **_in(namespace)})


def page(where: Where | None, after: str | None, limit: int, namespace: str | None) -> HttpCall[list[Document]]:
    body = {"where": where_text(where), "after": after, "limit": limit, **_in(namespace)}
    return HttpCall("POST", "/v1/documents/list", responses.documents, body)


def page_size(limit: int | None) -> int:
    """How many documents to ask for at once when so many are still wanted."""
    if limit is not None and limit < 0:
        raise UsageError(f"limit is {limit}", hint="a whole number, or leave it out")
    return _PAGE if limit is None else min(limit, _PAGE)


def count(where: Where | None, namespace: str | None) -> HttpCall[int]:
    body = {"where": where_text(where), **_in(namespace)}
    return HttpCall("POST", "/v1/documents/count", lambda answer: int(answer["count"]), body)


def namespaces() -> HttpCall[dict[str, int]]:
    return HttpCall("GET", "/v1/documents/namespaces", lambda answer: dict(answer["namespaces"]))


def drop_namespace(namespace: str) -> HttpCall[WriteResult]:
    if not namespace:
        raise UsageError("drop_namespace takes a name", hint="client.delete(where=...) for documents in none")
    return HttpCall("POST", "/v1/documents/namespaces/drop", responses.write_result, {"namespace": namespace})


def status() -> HttpCall[dict[str, Json]]:
    return HttpCall("GET", "/v1/status", dict)


def situation() -> HttpCall[Situation]:
    return HttpCall("GET", "/v1/situation", responses.situation)


def pairs() -> HttpCall[list[Pair]]:
    return HttpCall("GET", "/v1/pairs", lambda answer: [responses.pair(one) for one in answer["pairs"]])


def history(alias: str | None, limit: int | None) -> HttpCall[list[Move]]:
    query = {name: value for name, value in (("alias", alias), ("limit", limit)) if value is not None}
    return HttpCall("GET", "/v1/history", lambda answer: [responses.move(one) for one in answer["moves"]], query=query)


def promote(
    pair: PairLike, reason: str, override: bool, wait: float, by: str | None, budget: tuple[int, int]
) -> HttpCall[Switched]:
    body: dict[str, Any] = {"pair": pair_name(pair), "reason": reason, "override": override, "wait_seconds": wait}
    if by is not None:  # a server from before knows no such key
        body |= {"by": by, "per_query": budget[0], "per_second": budget[1]}
    return HttpCall("POST", "/v1/promote", responses.switched, body, long=True)


def rollback(
    to: PairLike | None, reason: str, override: bool, catch_up: bool, wait: float, expected_epoch: int | None
) -> HttpCall[Switched]:
    target = None if to is None else pair_name(to)
    body: dict[str, Any] = {"to": target, "reason": reason, "override": override, "wait_seconds": wait}
    body["expected_epoch"] = expected_epoch
    return HttpCall(
        "POST", "/v1/rollback", responses.switched, body | {"catch_up": catch_up, "wait": catch_up}, long=True
    )


def rollback_corpus(
    to: int | str, reason: str, keep_new: bool, catch_up: bool, *, dry_run: bool
) -> HttpCall[CorpusRollback]:
    body = {"to": to, "reason": reason, "keep_new": keep_new, "catch_up": catch_up, "dry_run": dry_run, "wait": True}
    return HttpCall("POST", "/v1/corpus/rollback", responses.corpus_rollback, body, long=True)


def restore(
    ref: str, reason: str, catch_up: bool, wait: float, expected_epoch: int | None, planned: bool, override: bool
) -> HttpCall[Switched]:
    body: dict[str, Any] = {"ref": ref, "reason": reason, "wait_seconds": wait, "expected_epoch": expected_epoch}
    body |= {"planned": planned, "override": override}
    return HttpCall(
        "POST", "/v1/restore", responses.switched, body | {"catch_up": catch_up, "wait": catch_up}, long=True
    )


def check(pair: PairLike | None, level: Level, bound: float, confidence: float, sample: int | None) -> HttpCall[Report]:
    name = None if pair is None else pair_name(pair)
    body = {"pair": name, "level": level, "bound": bound, "confidence": confidence, "sample": sample}
    return HttpCall("POST", "/v1/check", responses.report, body, long=True)


def ask_model(pair: PairLike | None) -> HttpCall[ModelAnswer]:
    body = {"pair": None if pair is None else pair_name(pair)}
    return HttpCall("POST", "/v1/ask-model", responses.model_answer, body, long=True)


def report(pair: PairLike) -> HttpCall[Report]:
    return HttpCall("GET", "/v1/check", responses.report, query={"pair": pair_name(pair)})


def bridge(source: PairLike, target: PairLike) -> HttpCall[Bridge]:
    body = {"source": pair_name(source), "target": pair_name(target)}
    return HttpCall("POST", "/v1/bridges", responses.bridge, body, long=True)


def bridges() -> HttpCall[list[Bridge]]:
    return HttpCall("GET", "/v1/bridges", lambda answer: [responses.bridge(one) for one in answer["bridges"]])


def forecast(model: PairLike, sample: str, seed: int | None, keep: PairLike | None) -> HttpCall[Forecast]:
    wanted = {"model": pair_name(model), "sample": sample, "seed": seed, "keep": pair_name(keep) if keep else None}
    body = {name: value for name, value in wanted.items() if value is not None}
    return HttpCall("POST", "/v1/forecast", responses.forecast, body, long=True)


def jobs(unfinished: bool, kind: str | None, pair: str | None, limit: int | None) -> HttpCall[list[JobRecord]]:
    wanted = {"unfinished": str(unfinished).lower(), "kind": kind, "pair": pair, "limit": limit}
    query = {name: value for name, value in wanted.items() if value is not None}
    return HttpCall("GET", "/v1/jobs", lambda answer: [JobRecord(**one) for one in answer["jobs"]], query=query)


def control(job: str, action: Literal["cancel", "pause", "resume"]) -> HttpCall[JobRecord]:
    return HttpCall("POST", f"/v1/jobs/{job}/{action}", lambda answer: JobRecord(**answer))


def _ids(method: str, ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str):
        raise UsageError(f"{method} takes a list of ids, not one string", hint=f"client.{method}([{ids!r}])")
    return list(ids)


def _options(options: SearchOptions, key: str | None) -> dict[str, Json]:
    # Left out where it is not asked for: a server of an older version refuses a field that it does not know.
    more: dict[str, Json] = {"namespace": options.namespace or None, "key": key}
    more |= {"include_vectors": options.include_vectors or None}
    more |= {"weights": options.weights, "reranker": options.reranker}
    asked = {name: value for name, value in more.items() if value is not None}
    asked |= {} if options.mode == "vector" else {"mode": options.mode}
    return {"k": options.k, "where": options.where, **asked}


def _in(namespace: str | None) -> dict[str, Json]:
    return {"namespace": namespace} if namespace else {}


def _document(document: Document) -> dict[str, Json]:
    body = asdict(document)
    return {name: value for name, value in body.items() if value or name in ("id", "text", "metadata")}


def pair_name(pair: PairLike) -> str:
    return pair if isinstance(pair, str) else pair.name


def headers(token: str | None) -> dict[str, str]:
    """What says who asks."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def request_options(call: HttpCall[T]) -> dict[str, Any]:
    """A call as httpx takes it."""
    return {
        "params": call.query,
        # ASCII, so that a text which is not valid Unicode reaches the server, and is refused there with a reason.
        **({} if call.body is None else {"content": json.dumps(call.body), "headers": JSON}),
        **({"timeout": httpx.Timeout(SECONDS, read=None)} if call.long else {}),
    }


def parse(call: HttpCall[T], response: httpx.Response) -> T:
    """The answer to a call, or the error that it reports, raised."""
    try:
        body = response.json()
    except ValueError:
        raise responses.error(response.status_code, None) from None
    if response.is_error:
        raise responses.error(response.status_code, body)
    return call.read(body)


def unreachable(url: httpx.URL, error: httpx.TransportError) -> UnreachableError:
    """The error for a server that gives no answer."""
    return UnreachableError(
        f"no answer from {url}: {error or type(error).__name__}", hint="is the server up? `vecrollback serve`"
    )
