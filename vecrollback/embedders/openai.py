"""Services that speak OpenAI's `/embeddings` protocol: OpenAI, vLLM, Ollama, LM Studio, TEI, LiteLLM and others.

The weights behind a service cannot be seen, so the contract holds its name, its address and the arguments; whether the
service still gives the vectors it gave is what the probes tell.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vecrollback.arrays import FloatArray
from vecrollback.embedders.base import COARSE_FLOOR, Traits
from vecrollback.embedders.common import RecentTokens, Role, Shape, SharedEmbedder, excerpt, prefixed, read_shape
from vecrollback.embedders.openai_http import Limits, OpenAIService, query_limits, tokens_used
from vecrollback.embedders.probe_texts import PROBES
from vecrollback.embedders.riding_probes import BatchProbes
from vecrollback.embedders.spec import Arguments, Spec
from vecrollback.embedders.spend_limit import SpendLimit
from vecrollback.errors import EmbedderSpecError, EmbeddingError
from vecrollback.records import Json

_OPENAI = "https://api.openai.com/v1"
_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
_BYTES_PER_TOKEN = 4.0
"""Of English prose; corrected by what the service reports."""


def open_openai(spec: Spec) -> OpenAIEmbedder:
    """Open `openai:MODEL?base_url=URL&api_key_env=NAME`."""
    if not spec.target:
        raise EmbedderSpecError("openai: names no model", hint="for example openai:text-embedding-3-small")
    arguments = spec.arguments
    base_url = _base_url(arguments.text("base_url", _OPENAI))
    # The key of one service is never sent to another by default.
    key_name = arguments.text("api_key_env", "OPENAI_API_KEY" if base_url == _OPENAI else None)
    service = OpenAIService(
        base_url,
        spec.target,
        key_name,
        jobs=Limits(arguments.number("timeout", 60.0), arguments.integer("max_retries", 6, minimum=0)),
        queries=query_limits(arguments.number("query_timeout", 1.0), arguments.integer("query_retries", 1, minimum=0)),
        rate=arguments.number("rate", None),
        budget=_budget(arguments),
    )
    embedder = OpenAIEmbedder(
        spec,
        service,
        read_shape(arguments),
        dimensions=arguments.integer("dimensions", None),
        generation=arguments.integer("generation", 1),
        batch_size=arguments.integer("batch_size", 128),
        max_tokens_per_request=arguments.integer("max_tokens_per_request", 250_000),
        encoding=arguments.choice("encoding_format", ("float", "base64"), "float"),
    )
    arguments.refuse_unknown("openai")
    return embedder


class OpenAIEmbedder(SharedEmbedder):
    """A model behind a service. Safe to use from several threads, which then share rate and budget."""

    def __init__(
        self,
        spec: Spec,
        service: OpenAIService,
        shape: Shape,
        *,
        dimensions: int | None,
        generation: int,
        batch_size: int,
        max_tokens_per_request: int,
        encoding: str,
    ) -> None:
        super().__init__(spec, shape)
        self._service = service
        self._dimensions, self._generation = dimensions, generation
        own = _DIMENSIONS.get(spec.target) if service.base_url == _OPENAI else None
        self._dimension = dimensions or own
        self._batch_size = batch_size
        self._max_tokens = max_tokens_per_request
        self._encoding = encoding
        self._recent = RecentTokens()
        self._usage = _Usage()
        self._probes: BatchProbes | None = None

    @property
    def dimension(self) -> int:
        """Known from `dimensions`, for OpenAI's own models, or from the first answer; else asked with one word."""
        if self._dimension is None:
            self._dimension = self._request(["dimension"])[0].shape[1]
        return self._dimension

    @property
    def traits(self) -> Traits:
        """Remote: whoever serves it may change the model, and only this object counts what is spent."""
        priced = self.price is not None or self._service.base_url == _OPENAI
        return Traits(True, priced, self.price, tokens_estimated=True, probe_floor=COARSE_FLOOR)

    @property
    def price(self) -> float | None:
        """Dollars per million tokens; None when it was not given."""
        return self._service.budget.price

    @property
    def spent(self) -> float:
        """Dollars spent by this object so far; 0 without a price."""
        return self._service.budget.spent

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens as the service counted them for the last batches; for others an estimate from their length."""
        known = self._recent.recall(texts)
        if known is not None:
            return known
        return self._usage.estimate(sum(map(_size, prefixed(texts, self._shape.document_prompt))))

    def next_generation(self) -> str:
        """The string of this embedder for weights that came later under the same name: `generation=2`, 3, ..."""
        head, _, query = self._spec.text.partition("?")
        kept = [part for part in query.split("&") if part and not part.startswith("generation=")]
        return f"{head}?{'&'.join([*kept, f'generation={self._generation + 1}'])}"

    def carry(self, probes: BatchProbes) -> None:
        """Let a probe ride in every request for documents: a balancer may send each to another replica."""
        self._probes = probes

    def answer_queries(self, texts: Sequence[str]) -> FloatArray:
        """`embed_queries` while somebody waits: within `query_timeout`, with at most `query_retries`.

        Raises:
            ServiceDownError: Queries have failed for a while, and this one was not even sent.
            TextRefusedError: The service does not take one of these texts.
            EmbeddingError: It did not answer in time.
        """
        texts, parts = list(texts), list[FloatArray]()
        for batch in self._batches(prefixed(texts, self._shape.query_prompt), self._batch_size):
            parts.append(self._request(batch, waiting=True)[0])
        return self._checked(self._joined(parts), texts)

    def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        self._service.close()

    def _identity(self) -> dict[str, Json]:
        identity: dict[str, Json] = {
            "model": self._spec.target,
            "base_url": self._service.base_url,
            "dimensions": self._dimensions,
        }
        # The first one is not named: pairs that were made before there were generations keep their fingerprint.
        return identity | ({"generation": self._generation} if self._generation > 1 else {})

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        parts: list[FloatArray] = []
        total: int | None = 0
        probes = self._probes if role == "document" and self._batch_size > 1 else None
        for batch in self._batches(prefixed(texts, self._shape.prompt(role)), self._batch_size - bool(probes)):
            riders = probes.draw(1) if probes else ()
            vectors, tokens = self._request(batch + prefixed([PROBES[n] for n in riders], self._shape.prompt(role)))
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
            if batch and (len(batch) == most or tokens + size > self._max_tokens):
                yield batch
                batch, tokens = [], 0.0
            batch.append(text)
            tokens += size
        yield batch

    def _request(self, texts: list[str], *, waiting: bool = False) -> tuple[FloatArray, int | None]:
        """The vectors of one request, and its tokens; `waiting`: somebody waits for them."""
        body: dict[str, Any] = {"model": self._spec.target, "input": texts, "encoding_format": self._encoding}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        # No tokenizer makes more tokens than there are bytes, plus a few marks per text.
        most = sum(map(_size, texts)) + 4 * len(texts)
        send = self._service.ask if waiting else self._service.post
        answer = send("/embeddings", body, most_tokens=most)
        used = tokens_used(answer)
        if used is not None:
            self._usage.learn(sum(map(_size, texts)), used)
        return _rows(answer, texts), used


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
        credentials = parts.username is not None or parts.password is not None
    except ValueError:
        parts, credentials = urlsplit(""), False
    if credentials or parts.query:
        raise EmbedderSpecError(
            "base_url holds credentials or a query", hint="put the key into an environment variable: api_key_env=NAME"
        )
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise EmbedderSpecError(f"base_url={value!r} is not an http address", hint="for example http://host:8080/v1")
    return value.rstrip("/")


def _rows(answer: Any, texts: list[str]) -> FloatArray:
    """Put the answer's vectors into the order of the texts; raise EmbeddingError unless there is one for each."""
    try:
        items = sorted(answer["data"], key=lambda item: int(item["index"]))
        places = [int(item["index"]) for item in items]
        rows = [_row(item["embedding"]) for item in items]
    except (KeyError, TypeError, ValueError) as error:
        raise EmbeddingError(
            f"the service's answer is not a list of embeddings: {type(error).__name__}: {error}",
            hint="check that base_url leads to an OpenAI-compatible /embeddings, usually ending in /v1",
        ) from error
    if places != list(range(len(texts))):
        raise EmbeddingError(
            f"the service answered {len(texts)} texts with {len(places)} vectors (places {_shown(places)})",
            hint="lower batch_size= if the service has a limit per request",
        )
    sizes = [len(row) for row in rows]
    odd = next((i for i, size in enumerate(sizes) if size != sizes[0]), None)
    if odd is not None:
        raise EmbeddingError(
            f"text {odd} got a vector of {sizes[odd]} dimensions, text 0 one of {sizes[0]}: {excerpt(texts[odd])}",
            hint="the service is faulty: ask its provider",
        )
    return np.stack(rows)


def _row(value: object) -> FloatArray:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
    return np.array(value, dtype=np.float32)


def _shown(places: list[int]) -> str:
    return str(places) if len(places) <= 8 else f"{places[:8]}..."


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
