"""Services that speak OpenAI's `/embeddings` protocol, more or less, or one of the other forms that are known.

The weights behind a service cannot be seen, so the contract holds its name, its address and whatever is sent beside
the texts; whether the service still gives the vectors it gave is what the probes tell.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vecrollback.embedders.base import COARSE_FLOOR, LEAST_FLOOR, Traits
from vecrollback.embedders.chunking import Tokenizer
from vecrollback.embedders.common import RecentTokens, Role, Shape, SharedEmbedder, prefixed, read_shape
from vecrollback.embedders.openai_http import Endpoint, Limits, OpenAIService, query_limits
from vecrollback.embedders.probe_texts import PROBES
from vecrollback.embedders.riding_probes import BatchProbes
from vecrollback.embedders.service_profile import read_fields, read_headers, read_parameters
from vecrollback.embedders.spec import Arguments, Spec, parse, with_arguments
from vecrollback.embedders.spend_limit import SpendLimit
from vecrollback.embedders.text_limit import TextLimit, read_limit
from vecrollback.embedders.wire_forms import WIRE_FORMS, Base64Numbers, first_base64, rows_of, tokens_used
from vecrollback.errors import EmbedderSpecError, EmbeddingError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray

_OPENAI = "https://api.openai.com/v1"
_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
_AS_IT_COMES = {"normalize": "false", "metric": "dot"}
_VARIABLE_NAME = re.compile(r"[^\W\d]\w*")
_BYTES_PER_TOKEN = 4.0
"""Of English prose; corrected by what the service reports."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a request for embeddings holds beside the texts.

    Attributes:
        protocol: How it is written, a key of `WIRE_FORMS`.
        dimensions: Asked for; None: the model's own.
        encoding: `encoding_format`: "float", "base64", or "none", which sends none.
        fields: Further fields of the body.
        role_fields: More of them for documents and for queries.
        batch_size: Texts at most.
        max_tokens: Tokens at most, all texts together.
    """

    protocol: str = "openai"
    dimensions: int | None = None
    encoding: str = "float"
    fields: Mapping[str, Json] = field(default_factory=dict)
    role_fields: Mapping[Role, Mapping[str, Json]] = field(default_factory=dict)
    batch_size: int = 128
    max_tokens: int = 250_000

    def body(self, model: str, texts: list[str], role: Role, *, decimal: bool = False) -> dict[str, Any]:
        """The request as JSON; `decimal`: for numbers in decimal form, whatever `encoding` says."""
        form = WIRE_FORMS[self.protocol]
        encoded = form.encoded and self.encoding != "none" and not decimal
        encoding = {"encoding_format": self.encoding} if encoded else {}
        return form.body(model, texts, self.dimensions, {**encoding, **self.fields, **self.role_fields.get(role, {})})

    def contract(self) -> dict[str, Json]:
        """What of it shapes vectors, beyond what OpenAI's own form always sends."""
        facts: dict[str, Json] = {
            "protocol": "" if self.protocol == "openai" else self.protocol,
            "body": dict(self.fields),
            "document": dict(self.role_fields.get("document", {})),
            "query": dict(self.role_fields.get("query", {})),
        }
        return {name: value for name, value in facts.items() if value}


def open_openai(spec: Spec) -> OpenAIEmbedder:
    """Open `openai:MODEL?base_url=URL&api_key_env=NAME`; without an address it is OpenAI's own."""
    return _open(spec, _OPENAI)


def open_service(spec: Spec) -> OpenAIEmbedder:
    """Open `service:MODEL?base_url=URL&...`: a service of anybody's, in any of the known forms."""
    return _open(spec, None)


def _open(spec: Spec, default_url: str | None) -> OpenAIEmbedder:
    if not spec.target:
        raise EmbedderSpecError(f"{spec.kind}: names no model", hint="for example openai:text-embedding-3-small")
    arguments = spec.arguments
    address = arguments.text("base_url", default_url)
    if address is None:
        raise EmbedderSpecError(
            "service: needs the address of the service", hint="for example base_url=http://host:8080/v1"
        )
    base_url = _base_url(address)
    protocol = arguments.choice("protocol", tuple(WIRE_FORMS), "openai")
    parameters = read_parameters(arguments)
    endpoint = Endpoint(
        base_url,
        # The key of one service is never sent to another by default.
        _key_name(arguments, "OPENAI_API_KEY" if base_url == _OPENAI else None),
        read_headers(arguments),
        parameters,
        WIRE_FORMS[protocol].answer,
    )
    service = OpenAIService(
        endpoint,
        spec.target,
        jobs=Limits(arguments.number("timeout", 60.0), arguments.integer("max_retries", 6, minimum=0)),
        queries=query_limits(arguments.number("query_timeout", 1.0), arguments.integer("query_retries", 1, minimum=0)),
        rate=arguments.number("rate", None),
        budget=_budget(arguments),
    )
    request = Request(
        protocol=protocol,
        dimensions=arguments.integer("dimensions", None),
        encoding=arguments.choice("encoding_format", ("float", "base64", "none"), "float"),
        fields=read_fields(arguments, "body"),
        role_fields={"document": read_fields(arguments, "document"), "query": read_fields(arguments, "query")},
        batch_size=arguments.integer("batch_size", 128),
        max_tokens=arguments.integer("max_tokens_per_request", 250_000),
    )
    embedder = OpenAIEmbedder(
        spec,
        service,
        read_shape(arguments),
        request,
        read_limit(arguments),
        parameters=parameters,
        generation=arguments.integer("generation", 1),
        probe_floor=_probe_floor(arguments),
    )
    arguments.refuse_unknown(spec.kind)
    return embedder


class OpenAIEmbedder(SharedEmbedder):
    """A model behind a service. Safe to use from several threads, which then share rate and budget."""

    def __init__(
        self,
        spec: Spec,
        service: OpenAIService,
        shape: Shape,
        request: Request,
        limit: TextLimit,
        *,
        parameters: Mapping[str, str],
        generation: int,
        probe_floor: float,
    ) -> None:
        super().__init__(spec, shape)
        self._service, self._request, self._limit = service, request, limit
        self._form = WIRE_FORMS[request.protocol]
        self._path = self._form.path.replace("{model}", spec.target)
        self._parameters, self._generation, self._probe_floor = parameters, generation, probe_floor
        own = _DIMENSIONS.get(spec.target) if service.base_url == _OPENAI else None
        self._dimension = request.dimensions or own
        self._numbers = Base64Numbers(self._dimension)
        self._recent = RecentTokens()
        self._usage = _Usage()
        self._probes: BatchProbes | None = None

    @property
    def dimension(self) -> int:
        """Known from `dimensions`, for OpenAI's own models, or from the first answer; else asked with one word."""
        if self._dimension is None:
            self._dimension = self._ask(["dimension"], "document")[0].shape[1]
        return self._dimension

    @property
    def traits(self) -> Traits:
        """Remote: whoever serves it may change the model, and only this object counts what is spent."""
        priced = self.price is not None or self._service.base_url == _OPENAI
        return Traits(
            True, priced, self.price, tokens_estimated=self._limit.tokenizer is None, probe_floor=self._probe_floor
        )

    @property
    def price(self) -> float | None:
        """Dollars per million tokens; None when it was not given."""
        return self._service.budget.price

    @property
    def spent(self) -> float:
        """Dollars spent by this object so far; 0 without a price."""
        return self._service.budget.spent

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens as the service counted them for the last batches; for others the tokenizer's count, or an estimate."""
        known = self._recent.recall(texts)
        if known is not None:
            return known
        if tokenizer := self._limit.tokenizer:
            return sum(tokenizer.lengths(texts, self._shape.document_prompt, None))
        return self._usage.estimate(sum(map(_size, prefixed(texts, self._shape.document_prompt))))

    def count_cut(self, texts: Sequence[str]) -> int:
        """Chunks that are longer than what is sent of a text; what the service itself cuts, it does not say."""
        whole = prefixed(texts, self._shape.document_prompt)
        return sum(len(sent) < len(text) for sent, text in zip(self._limit.apply(whole), whole, strict=True))

    def next_generation(self) -> str:
        """The string of this embedder for weights that came later under the same name: `generation=2`, 3, ..."""
        return with_arguments(self._spec.text, {"generation": str(self._generation + 1)})

    def server_words(self) -> dict[str, str]:
        """What the server tells of its model, by name: evidence of a change, and never proof."""
        return self._service.server_words()

    def without_limits(self, batch_size: int) -> OpenAIEmbedder:
        """The same service with its vectors as they come and no limits but its own, to measure them."""
        given: dict[str, str | None] = dict.fromkeys(("max_characters", "max_length", "too_long", "chunk"))
        given |= {"batch_size": str(batch_size), "max_tokens_per_request": "100000000", "max_retries": "2"}
        given |= {"base_url": self._service.base_url}
        return _open(parse(with_arguments(self._spec.text, given | _AS_IT_COMES), {self._spec.kind}), None)

    def carry(self, probes: BatchProbes) -> None:
        """Let a probe ride in every request for documents: a balancer may send each to another replica."""
        self._probes = probes

    @property
    def proves_requests(self) -> bool:
        """Whether a probe has a place in each request: one for a single text has none."""
        return self._request.batch_size > 1

    def answer_queries(self, texts: Sequence[str]) -> FloatArray:
        """`embed_queries` while somebody waits: within `query_timeout`, with at most `query_retries`.

        Raises:
            ServiceDownError: Queries have failed for a while, and this one was not even sent.
            TextRefusedError: The service does not take one of these texts.
            EmbeddingError: It did not answer in time.
        """
        texts, parts = list(texts), list[FloatArray]()
        for batch in self._batches(self._sent(texts, "query"), self._request.batch_size):
            parts.append(self._fit(batch, "query", waiting=True)[0])
        return self._checked(self._joined(parts), texts)

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._service.close()

    def _identity(self) -> dict[str, Json]:
        identity: dict[str, Json] = {
            "kind": "openai",  # however it was written
            "model": self._spec.target,
            "base_url": self._service.base_url,
            "dimensions": self._request.dimensions,
        }
        # What is as it always was is not named: pairs that were made before there was more keep their fingerprint.
        later = self._request.contract() | self._limit.contract()
        later |= {"parameters": dict(self._parameters)} if self._parameters else {}
        return identity | later | ({"generation": self._generation} if self._generation > 1 else {})

    def _tokenizer(self) -> Tokenizer | None:
        return self._limit.tokenizer

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        parts: list[FloatArray] = []
        total: int | None = 0
        most = self._request.batch_size
        probes = self._probes if role == "document" and most > 1 else None
        for batch in self._batches(self._sent(texts, role), most - bool(probes)):
            riders = probes.draw(1) if probes else ()
            vectors, tokens = self._fit(batch + self._sent([PROBES[n] for n in riders], role), role)
            if probes:
                probes.examine(riders, vectors[len(batch) :])
            parts.append(vectors[: len(batch)])
            total = None if total is None or tokens is None else total + tokens
        if role == "document" and total is not None:
            self._recent.remember(texts, total)
        return self._joined(parts)

    def _joined(self, parts: list[FloatArray]) -> FloatArray:
        if len({part.shape[1] for part in parts}) > 1:
            raise EmbeddingError(
                f"{self._spec.target} at {self._service.base_url} answered with several dimensions",
                hint="several models answer under this name: ask the provider, or pin a version",
            )
        self._dimension = self._dimension or parts[0].shape[1]
        return np.concatenate(parts)

    def _batches(self, texts: list[str], most: int) -> Iterator[list[str]]:
        batch: list[str] = []
        tokens = 0.0
        for text in texts:
            # Half the usual bytes per token, for scripts and code that take more tokens than prose does.
            size = _size(text) / (_BYTES_PER_TOKEN / 2)
            if batch and (len(batch) == most or tokens + size > self._request.max_tokens):
                yield batch
                batch, tokens = [], 0.0
            batch.append(text)
            tokens += size
        yield batch

    def _sent(self, texts: Sequence[str], role: Role) -> list[str]:
        """What is sent for texts of a role: after its prompt, and no longer than the limit."""
        return self._limit.apply(prefixed(texts, self._shape.prompt(role)))

    def _fit(self, texts: list[str], role: Role, *, waiting: bool = False) -> tuple[FloatArray, int | None]:
        """The vectors of one batch, and its tokens; several requests where a long text has to be cut."""
        tokens: list[int | None] = []

        def embed(part: list[str]) -> FloatArray:
            vectors, used = self._ask(part, role, waiting=waiting)
            tokens.append(used)
            return vectors

        vectors = self._limit.fit(embed, texts)
        return vectors, None if None in tokens else sum(used or 0 for used in tokens)

    def _ask(self, texts: list[str], role: Role, *, waiting: bool = False) -> tuple[FloatArray, int | None]:
        """The vectors of one request, and its tokens; `waiting`: somebody waits for them."""
        send = partial(self._service.ask if waiting else self._service.post, self._path)
        # No tokenizer makes more tokens than there are bytes, plus a few marks per text.
        most = sum(map(_size, texts)) + 4 * len(texts)
        answer = send(self._request.body(self._spec.target, texts, role), texts=len(texts), most_tokens=most)
        encoded = first_base64(answer, self._form)
        if encoded is not None and not self._numbers.settles(encoded):
            body = self._request.body(self._spec.target, texts[:1], role, decimal=True)
            self._learn_width(encoded, send(body, texts=1, most_tokens=most), texts[:1])
        used = tokens_used(answer)
        if used is not None:
            self._usage.learn(sum(map(_size, texts)), used)
        return rows_of(answer, texts, self._numbers, self._form), used

    def _learn_width(self, encoded: str, answer: Any, text: list[str]) -> None:
        """Base64 does not say how wide its numbers are: one text is asked for in decimal numbers too."""
        decimal = first_base64(answer, self._form) is None
        self._numbers.learn(encoded, rows_of(answer, text, self._numbers, self._form)[0] if decimal else None)


class _Usage:
    """Bytes per token as the service has counted so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = _BYTES_PER_TOKEN
        self._tokens = 1.0

    def learn(self, size: int, tokens: int) -> None:
        with self._lock:
            self._bytes += size
            self._tokens += tokens

    def estimate(self, size: int) -> int:
        with self._lock:
            return round(size * self._tokens / self._bytes)


def _budget(arguments: Arguments) -> SpendLimit:
    limit = arguments.number("spend_limit", None)
    price = arguments.number("price", None)
    if limit is not None and price is None:
        raise EmbedderSpecError(
            "spend_limit needs price, dollars per million tokens", hint="for example spend_limit=5&price=0.02"
        )
    return SpendLimit(limit=limit, price=price or 0.0)


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_http = parts.scheme in {"http", "https"} and bool(parts.netloc) and parts.port != 0
    except ValueError:
        parts, is_http = urlsplit(""), False
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise EmbedderSpecError(
            "base_url holds credentials or a query", hint="put the key into an environment variable: api_key_env=NAME"
        )
    if not is_http:
        shown = "" if "@" in value else f"={value!r}"  # before an @ may stand a password
        raise EmbedderSpecError(f"base_url{shown} is not an http address", hint="for example http://host:8080/v1")
    return value.rstrip("/")


def _key_name(arguments: Arguments, default: str | None) -> str | None:
    name = arguments.text("api_key_env", default)
    if name is not None and not _VARIABLE_NAME.fullmatch(name):  # not repeated: it may be the key itself
        raise EmbedderSpecError(
            "api_key_env is not the name of an environment variable",
            hint="for example api_key_env=EMBED_KEY, with the key itself in that variable",
        )
    return name


def _probe_floor(arguments: Arguments) -> float:
    floor = arguments.number("probe_floor", COARSE_FLOOR)
    if not LEAST_FLOOR <= floor < 1:
        raise EmbedderSpecError(
            f"probe_floor={floor:g} is not a cosine from {LEAST_FLOOR} to below 1",
            hint="`vecrollback embedder try` measures how far two calls of the service differ",
        )
    return floor


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
