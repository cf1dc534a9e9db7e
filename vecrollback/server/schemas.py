"""Bodies of requests and answers, with the examples that the OpenAPI document shows."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from vecrollback.records import Acknowledgements, CatchUp, Document, GateOutcome, Json, Report, Role
from vecrollback.records.cascade import MOST_A_QUERY, MOST_A_SECOND

PairName = Annotated[str, Field(min_length=1, max_length=200)]
Reason = Annotated[str, Field(max_length=2_000, description="Why; it is kept in the history.")]
WhereField = Annotated[
    str | dict[str, Any] | None,
    Field(description='A filter over the metadata: SQL, or data such as {"year": {"$gte": 2024}}.'),
]
Namespace = Annotated[str | None, Field(description="Of the documents. Default: those that are in none.")]
WaitSeconds = Annotated[float, Field(ge=0, le=300, description="How long to wait for the searchers.")]


def _body(*examples: Json) -> ConfigDict:
    # Strict, or `true` would pass for a number and an unknown key, misspelt perhaps, for an intention.
    return ConfigDict(strict=True, extra="forbid", json_schema_extra={"examples": list(examples)})


class SearchRequest(BaseModel):
    """One query or several; several are answered from one pair."""

    model_config = _body(
        {"query": "how is espresso brewed", "k": 3},
        {"queries": ["first question", "second question"], "k": 5, "where": "year >= 2024"},
        {"query": "how is espresso brewed", "mode": "hybrid", "namespace": "kb-7", "weights": [0.7, 0.3]},
        {"query": "how is espresso brewed", "where": {"year": {"$gte": 2024}, "lang": {"$in": ["en", "it"]}}},
    )

    query: str | None = None
    queries: list[str] | None = None
    k: int = Field(10, ge=1, description="How many documents.")
    where: WhereField = None
    namespace: Namespace = None
    mode: Literal["vector", "keyword", "hybrid"] = Field(
        "vector", description="What answers: the live pair, the words themselves, or both joined by reciprocal rank."
    )
    weights: list[FiniteFloat] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="With hybrid: what vectors and words count.",
    )
    reranker: str | None = Field(
        None, max_length=200, description="Order the candidates by it: a name under [rerankers] of the server's file."
    )
    include_vectors: bool = Field(False, description="Give each hit's vector, too.")
    vectors: list[list[FiniteFloat]] | None = Field(None, description="In place of queries: their vectors.")
    fingerprint: str | None = Field(None, max_length=200, description="What made `vectors`, as /v1/embed says it.")
    key: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Who asks, or X-Vecrollback-Key: a canary serves a share of them.",
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> SearchRequest:
        if sum(one is not None for one in (self.query, self.queries, self.vectors)) != 1:
            raise ValueError("give either `query` or `queries` or `vectors`")
        if (self.vectors is None) != (self.fingerprint is None):
            raise ValueError("`vectors` come with their `fingerprint`")
        return self


class EmbedRequest(BaseModel):
    """Texts to be embedded by the live pair's model, as queries or as documents."""

    model_config = _body({"queries": ["how is espresso brewed"]}, {"documents": ["Espresso is brewed under pressure."]})

    queries: list[str] | None = None
    documents: list[str] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> EmbedRequest:
        if (self.queries is None) == (self.documents is None):
            raise ValueError("give either `queries` or `documents`")
        return self


class DocumentBody(BaseModel):
    """A document to be stored."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: str
    text: str
    metadata: dict[str, Any] = {}
    namespace: str = Field("", description="The part of the store that it is in; ids are unique in one.")
    embedded_text: str | None = Field(None, description="What the model gets in place of `text`.")

    def document(self) -> Document:
        return Document(self.id, self.text, self.metadata, self.namespace, self.embedded_text)


class UpsertRequest(BaseModel):
    """New and changed documents. All of them are written, or none."""

    model_config = _body(
        {"documents": [{"id": "tea", "text": "Green tea is steeped.", "metadata": {"kind": "drink"}}]},
        {"documents": [{"id": "tea", "text": "Green tea is steeped."}], "visible": True, "if_absent": "skip"},
    )

    documents: list[DocumentBody]
    visible: bool = Field(False, description="Answer when queries find them.")
    if_absent: Literal["skip", "fail"] | None = Field(
        None, description="Write new documents alone: leave those that exist, or refuse all."
    )
    namespace: Namespace = None
    vectors: list[list[FiniteFloat]] | None = Field(None, description="One for each document, made already.")
    fingerprint: str | None = Field(None, max_length=200, description="What made `vectors`, as /v1/embed says it.")

    @model_validator(mode="after")
    def _both_or_neither(self) -> UpsertRequest:
        if (self.vectors is None) != (self.fingerprint is None):
            raise ValueError("`vectors` come with their `fingerprint`")
        return self


class DeleteRequest(BaseModel):
    """Documents to be deleted for good: by id, or all that a filter matches."""

    model_config = _body({"ids": ["tea"]}, {"where": {"kind": "drink"}})

    ids: list[str] | None = None
    where: WhereField = None
    namespace: Namespace = None


class WaitRequest(BaseModel):
    """Wait until the live pair reflects a change."""

    model_config = _body({"seq": 1043}, {"seq": 1043, "timeout": 5})

    seq: int = Field(ge=0, le=2**62)
    timeout: float = Field(30.0, ge=0, le=300, description="Seconds.")


class GetRequest(BaseModel):
    """Documents to be read by id."""

    model_config = _body({"ids": ["tea"]})

    ids: list[str]
    namespace: Namespace = None


class ListRequest(BaseModel):
    """A page of documents, ordered by id."""

    model_config = _body({"limit": 100}, {"where": {"kind": "drink"}, "after": "tea", "limit": 100})

    where: WhereField = None
    namespace: Namespace = None
    after: str | None = Field(None, description="The last id of the page before.")
    limit: int = Field(100, ge=1)


class DropRequest(BaseModel):
    """A namespace whose documents are to be deleted."""

    model_config = _body({"namespace": "kb-7"})

    namespace: Annotated[str, Field(min_length=1)]


class CountRequest(BaseModel):
    """Documents to be counted."""

    model_config = _body({}, {"where": {"kind": "drink"}})

    where: WhereField = None
    namespace: Namespace = None


class WriteAnswer(BaseModel):
    """What a write changed. `seq`, `head`: of the log once it was durable; `documents`: how many the request named."""

    seq: int
    documents: int
    head: int
    written: int
    unchanged: int
    deleted: int


class DocumentsAnswer(BaseModel):
    """Documents, ordered by id in a list."""

    documents: list[DocumentBody]


class NamespacesAnswer(BaseModel):
    """Documents by namespace; "" is that of documents in none."""

    namespaces: dict[str, int]


class CountAnswer(BaseModel):
    """How many there are."""

    count: int


class BridgeRequest(BaseModel):
    """Learn a map from one pair's model to another pair's space."""

    model_config = _body({"source": "v2", "target": "v1"})

    source: PairName
    target: PairName
    wait: bool = Field(True, description="False: answer 202 with a job at once.")


class ForecastRequest(BaseModel):
    """Tell what a model would be worth, from a sample of the corpus."""

    model_config = _body({"model": "v2"}, {"model": "profile:better", "sample": "5%", "keep": "v2"})

    model: str = Field(min_length=1, max_length=200, description="A pair, whose model it is, or `profile:NAME`.")
    sample: str = Field("5%", max_length=20, description="Documents to embed at most: 500, or a share such as 5%.")
    seed: int | None = Field(None, description="Draw the same sample again.")
    keep: PairName | None = Field(None, description="A pair that keeps what was embedded; it is made if need be.")
    wait: bool = Field(True, description="False: answer 202 with a job at once.")


class PromoteRequest(BaseModel):
    """Let a pair serve: catch it up, check it, have every searcher load it, move `live`."""

    model_config = _body({"pair": "v2", "reason": "better answers"}, {"pair": "v2", "by": "cascade"})

    pair: PairName
    reason: Reason = ""
    override: bool = False
    wait_seconds: WaitSeconds = 10.0
    by: Literal["cascade"] | None = Field(None, description="`cascade`: before it is built, beside the live pair.")
    per_query: int = Field(MOST_A_QUERY, ge=1, description="Texts that a cascade may embed for one query.")
    per_second: int = Field(MOST_A_SECOND, ge=1, description="Texts that each searcher may embed in a second for it.")
    wait: bool = Field(True, description="False: answer 202 with a job at once.")


class RollbackRequest(BaseModel):
    """Go back to the pair that served before, or to the one named."""

    model_config = _body({"reason": "answers got worse"}, {"to": "v1", "reason": "answers got worse", "wait": True})

    to: PairName | None = None
    reason: Reason
    override: bool = False
    expected_epoch: int | None = Field(None, ge=0, description="Refuse if somebody has moved `live` since this epoch.")
    wait_seconds: WaitSeconds = 10.0
    catch_up: bool = Field(True, description="False: only switch; a worker or somebody else catches up and checks.")
    wait: bool = Field(False, description="Answer when catch-up and check are done, not when the switch is.")


class CorpusRollbackRequest(BaseModel):
    """Make the documents what they were at an earlier point of the log."""

    model_config = _body({"to": 4711, "dry_run": True}, {"to": "2026-01-31T12:00", "reason": "a faulty import"})

    to: Annotated[int, Field(ge=0, lt=2**63)] | Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="The number of a change, or a time: ISO 8601, UTC unless it says otherwise."
    )
    reason: Annotated[str, Field(max_length=2000)] = ""
    keep_new: bool = Field(False, description="Leave the documents alone that are new since.")
    dry_run: bool = Field(False, description="Only say what would change.")
    catch_up: bool = Field(True, description="False: a worker or somebody else brings the pairs up to date.")
    wait: bool = Field(False, description="Answer when it is done, catch-ups included; else with the job that does it.")

    @model_validator(mode="after")
    def _with_a_reason(self) -> CorpusRollbackRequest:
        if not self.dry_run and not self.reason.strip():
            raise ValueError("a rollback of the documents needs a `reason`; the audit keeps it")
        return self


class RestoreRequest(BaseModel):
    """Let one exact snapshot serve."""

    model_config = _body({"ref": "v1@3", "reason": "the index of v1@4 is damaged"}, {"ref": "v1@3", "dry_run": True})

    ref: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[Reason | None, Field(description="Why; only a dry run needs none.")] = None
    dry_run: bool = Field(False, description="Only say what would serve, how old it is, and who has to agree.")
    wait_seconds: WaitSeconds = 10.0
    catch_up: bool = True
    expected_epoch: int | None = Field(None, ge=0, description="Refuse if somebody has moved `live` since this epoch.")
    planned: bool = Field(False, description="Nothing is wrong with what is left; no answer of it counts as bad.")
    override: bool = Field(False, description="Also while its model did not answer when it was asked lately.")
    wait: bool = False

    @model_validator(mode="after")
    def _with_a_reason(self) -> RestoreRequest:
        if self.reason is None and not self.dry_run:
            raise ValueError("a restore needs its `reason`")
        return self


class CheckRequest(BaseModel):
    """Audit a pair, or the live one, against the log."""

    model_config = _body({"pair": "v1"}, {"level": "quick"}, {"bound": 0.001, "confidence": 0.99})

    pair: PairName | None = None
    level: Literal["full", "quick"] = "full"
    bound: float = Field(0.01, gt=0, lt=1)
    confidence: float = Field(0.95, gt=0, lt=1)
    sample: int | None = Field(None, ge=1, description="Chunks to re-embed. Default: what the bound needs.")
    wait: bool = Field(True, description="False: answer 202 with a job at once; GET /v1/check has the report later.")


class AskRequest(BaseModel):
    """Ask the model of a pair, or of the live one, whether it answers now."""

    model_config = _body({"pair": "v1"}, {})

    pair: PairName | None = None


class CompareRequest(BaseModel):
    """One query on two pairs, whether they serve or not."""

    model_config = _body({"query": "how is espresso brewed", "a": "v1", "b": "v2", "k": 5})

    query: str
    a: PairName
    b: PairName
    k: int = Field(10, ge=1, description="How many documents of each.")


class TokenRequest(BaseModel):
    """A new token."""

    model_config = _body({"role": "reader", "name": "shop-frontend", "expires": "90d"})

    role: Role
    name: str | None = None
    expires: str | None = Field(None, max_length=64, description="90d, 12h, or a time in ISO 8601.")


class DecisionRequest(BaseModel):
    """What somebody says to a move that waits."""

    model_config = _body({"decision": "approve"}, {"decision": "reject", "reason": "the numbers were wrong"})

    decision: Literal["approve", "reject"]
    reason: Reason = ""
    wait: bool = Field(True, description="Answer when catch-up and check are done too, not when the switch is.")


class FreezeRequest(BaseModel):
    """Hold automation back."""

    model_config = _body({"reason": "release day"}, {"reason": "release day", "until": "2126-02-01T08:00:00Z"})

    reason: Reason
    until: Annotated[AwareDatetime | None, Field(strict=False, description="Default: until it is lifted.")] = None


class PushedValue(BaseModel):
    """One value. `at`: seconds since 1970, by default now."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    value: FiniteFloat
    at: Annotated[float, Field(ge=0, le=1e11)] | None = None


class PushRequest(BaseModel):
    """Values of metrics that only the caller can measure: clicks, complaints, sales."""

    model_config = _body({"values": [{"name": "click_rate", "value": 0.31}]})

    values: Annotated[list[PushedValue], Field(max_length=1_000)]


class MoveAnswer(BaseModel):
    """An entry of the history, as GET /v1/history has it."""

    number: int
    alias: str
    epoch: int
    kind: str
    source: str | None = Field(alias="from")
    target: str = Field(alias="to")
    reason: str
    actor: str
    at: str
    previous_hash: str
    hash: str


class SwitchedAnswer(BaseModel):
    """A move that happened. `job`: the catch-up and check that go on after it."""

    alias: str
    source: str | None = Field(alias="from")
    target: str = Field(alias="to")
    epoch: int
    switch_ms: float
    searchers: Acknowledgements
    lag: int
    caught_up: CatchUp | None
    check: Report | None
    trouble: str
    gates: list[GateOutcome]
    move: MoveAnswer
    warning: str
    bridge: dict[str, Any] | None = Field(
        None, description="By what bridge queries reach it while its own model is gone, as GET /v1/bridges has it."
    )
    job: str | None


class ErrorFacts(BaseModel):
    """What went wrong, by class, fact and cure. `facts`: its numbers, where it has some."""

    type: str
    message: str
    hint: str
    facts: dict[str, Any] = {}


class ErrorAnswer(BaseModel):
    """Every error looks like this."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "type": "UnknownNameError",
                        "message": "pair 'v9' does not exist in this store",
                        "hint": "`vecrollback pairs` lists them",
                    }
                }
            ]
        }
    )

    error: ErrorFacts


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def as_json(payload: Json, status: int = 200) -> Response:
    """An answer that is already plain values: no model is built of it only to be taken apart again."""
    return Response(_encode(payload).encode(errors="backslashreplace"), status, media_type="application/json")


def answers(*refusals: int, example: Json = None, model: Any = None, status: int = 200) -> dict[int | str, Any]:
    """What the OpenAPI document says of a route's answers: the good one, then the errors all have, then its own."""
    good: dict[str, Any] = {"description": "Done"}
    if model is not None:
        good["model"] = model
    if example is not None:
        good["content"] = {"application/json": {"example": example}}
    errors: dict[int | str, Any] = {
        code: {"model": ErrorAnswer, "description": _MEANING[code]} for code in sorted({*_ALWAYS, *refusals})
    }
    return {status: good, **errors}


_ALWAYS = (400, 401, 403, 404, 413, 421, 422, 429, 500, 503)
_MEANING = {
    400: "The request is wrong",
    401: "No token, or one that opens nothing",
    403: "The token's role does not reach that far",
    404: "No such name",
    409: "A safety rule says no",
    413: "The body is too large",
    421: "The server does not go by that name",
    422: "A field of the request is wrong",
    429: "No room now; see Retry-After",
    500: "The server could not do it; its log says why",
    503: "Not now: the catalog, the model or the server itself is not there",
}
