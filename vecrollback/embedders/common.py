"""What every kind of embedder does alike: common arguments, contract, prompts, checks, unit length."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

import numpy as np

from vecrollback.embedders.base import Traits, fingerprint_of
from vecrollback.embedders.chunking import Chunker, ChunkRule, Tokenizer, make_chunker, parse_rule
from vecrollback.embedders.spec import Arguments, Spec
from vecrollback.errors import EmbedderSpecError, EmbeddingError, TextRefusedError
from vecrollback.records import Json, Metric, Span
from vecrollback.records.arrays import FloatArray

Role = Literal["document", "query"]

_UNIT_TOLERANCE = 1e-6
_EXCERPT = 60


@dataclass(frozen=True, slots=True)
class Shape:
    """The arguments that every kind takes; all of them shape what is stored."""

    query_prompt: str
    document_prompt: str
    normalize: bool
    metric: Metric
    chunk: ChunkRule

    def prompt(self, role: Role) -> str:
        return self.query_prompt if role == "query" else self.document_prompt

    def contract(self) -> dict[str, Json]:
        return {
            "query_prompt": self.query_prompt,
            "document_prompt": self.document_prompt,
            "normalize": self.normalize,
            "metric": self.metric,
            "chunk": str(self.chunk),
        }


def read_shape(arguments: Arguments, *, query_prompt: str = "", document_prompt: str = "") -> Shape:
    """Read the arguments that every kind takes.

    `metric` and `normalize` default from each other: cosine means unit length, dot and l2 mean vectors as they come.

    Args:
        arguments: What follows the `?` of the embedder's string.
        query_prompt: What the model itself puts before queries.
        document_prompt: The same for documents.

    Raises:
        EmbedderSpecError: A value is not valid, or two do not go together.

    Example:
        >>> from vecrollback.embedders.spec import Arguments
        >>> shape = read_shape(Arguments({"metric": "l2", "query_prompt": "query: "}))
        >>> shape.normalize, shape.prompt("query"), shape.prompt("document")
        (False, 'query: ', '')
    """
    metric = arguments.choice("metric", ("cosine", "dot", "l2"), None)
    normalize = arguments.flag("normalize", None)
    if metric is None:
        metric = "dot" if normalize is False else "cosine"
    if normalize is None:
        normalize = metric == "cosine"
    if metric == "cosine" and not normalize:
        raise EmbedderSpecError(
            "metric=cosine needs vectors of unit length, but normalize=false", hint="use metric=dot or metric=l2"
        )
    return Shape(
        query_prompt=arguments.text("query_prompt", query_prompt),
        document_prompt=arguments.text("document_prompt", document_prompt),
        normalize=normalize,
        metric=cast(Metric, metric),
        chunk=parse_rule(arguments.text("chunk", "none")),
    )


class SharedEmbedder(ABC):
    """Base of the kinds in this package. A kind says who it is and how texts become rows; the rest is here."""

    def __init__(self, spec: Spec, shape: Shape) -> None:
        self._spec = spec
        self._shape = shape
        self._chunker_lock = threading.Lock()
        self._chunker: Chunker | None = None

    @property
    @abstractmethod
    def traits(self) -> Traits: ...

    @property
    @abstractmethod
    def dimension(self) -> int: ...

    @abstractmethod
    def count_tokens(self, texts: Sequence[str]) -> int: ...

    @abstractmethod
    def _identity(self) -> dict[str, Json]:
        """What shapes the vectors beside the common arguments."""

    @abstractmethod
    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        """Rows for `texts` (at least one), the role's prompt included: a new float32 array that may be changed."""

    @property
    def spec(self) -> str:
        return self._spec.text

    @property
    def metric(self) -> Metric:
        return self._shape.metric

    @cached_property
    def contract(self) -> Mapping[str, Json]:
        return {"kind": self._spec.kind, **self._identity(), **self._shape.contract()}

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint_of(self.contract)

    def chunk(self, text: str) -> list[Span]:
        """Split a document into the chunks that get one vector each. A blank text has none."""
        with self._chunker_lock:
            if self._chunker is None:
                self._chunker = self._make_chunker()
        return self._chunker(text)

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of chunks: shape (len(texts), dimension). Raises EmbeddingError."""
        return self._embed(texts, "document")

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries: shape (len(texts), dimension). Raises EmbeddingError."""
        return self._embed(texts, "query")

    def close(self) -> None:  # noqa: B027  # most kinds hold nothing
        """Let go of what was loaded. The next call that needs it loads it again."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec!r})"

    def _tokenizer(self) -> Tokenizer | None:
        return None

    def _make_chunker(self) -> Chunker:
        rule = self._shape.chunk
        return make_chunker(rule, None if rule.method == "none" else self._tokenizer())

    def _embed(self, texts: Sequence[str], role: Role) -> FloatArray:
        if isinstance(texts, str):
            raise TypeError("texts must be a sequence of strings, not one string")
        if not len(texts):
            return np.empty((0, self.dimension), dtype=np.float32)
        return self._checked(self._vectors(texts, role), texts)

    def _checked(self, vectors: FloatArray, texts: Sequence[str]) -> FloatArray:
        """What leaves the embedder: one usable vector for each text, of unit length where the contract says so."""
        if vectors.shape != (len(texts), self.dimension):
            raise EmbeddingError(
                f"{len(texts)} texts gave an array of shape {vectors.shape}, not ({len(texts)}, {self.dimension})",
                hint="the model behind the embedder string is not the one whose dimension is recorded",
            )
        return finished(vectors, texts, unit=self._shape.normalize)


def finished(vectors: FloatArray, texts: Sequence[str], *, unit: bool) -> FloatArray:
    """Check that every row is usable and, with `unit`, scale the rows to length 1 in place.

    Rows that are already of unit length keep their bits.

    Args:
        vectors: float32, shape (n, dimension), n >= 1; changed in place.
        texts: What the rows were made from, for the message.
        unit: Whether rows are to have unit length.

    Returns:
        The same array.

    Raises:
        TextRefusedError: A row has NaN or infinity, or no direction; it names the first text without a usable vector.

    Example:
        >>> finished(np.array([[0.0, 4.0]], dtype=np.float32), ["a text"], unit=True).tolist()
        [[0.0, 1.0]]
    """
    squares = np.einsum("ij,ij->i", vectors, vectors)
    usable = np.isfinite(squares) & (squares > 0) if unit else np.isfinite(vectors).all(axis=1)
    if not usable.all():
        index = int(np.argmin(usable))
        what = "of length zero" if squares[index] == 0 else "with NaN or infinity"
        raise TextRefusedError(
            f"text {index} of {len(texts)} got a vector {what}: {excerpt(texts[index])}",
            hint="look at this text; a model in float16 can overflow, precision=float32 does not",
        )
    # Only where it is needed: dividing by a length of almost 1 would change the last bits of a model's own vectors.
    if unit and np.abs(squares - 1).max() > _UNIT_TOLERANCE:
        vectors /= np.sqrt(squares)[:, None]
    return vectors


def prefixed(texts: Sequence[str], prompt: str) -> list[str]:
    """Put `prompt` before every text. Returns a new list."""
    return [prompt + text for text in texts] if prompt else list(texts)


def excerpt(text: str) -> str:
    """The beginning of a text, quoted for a message."""
    return repr(text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…")


class RecentTokens:
    """Token totals of the last calls.

    Re-embedding asks how many tokens a batch had right after embedding it; the answer is known then, and tokenising
    the batch a second time would cost a share of the whole job.
    """

    _CAPACITY = 16

    def __init__(self) -> None:
        self._totals: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, texts: Sequence[str], total: int) -> None:
        with self._lock:
            self._totals[_key(texts)] = total
            while len(self._totals) > self._CAPACITY:
                self._totals.popitem(last=False)

    def recall(self, texts: Sequence[str]) -> int | None:
        with self._lock:
            return self._totals.get(_key(texts))


def _key(texts: Sequence[str]) -> tuple[int, int]:
    # The texts themselves would be kept alive; a hash is enough among so few entries.
    return len(texts), hash(tuple(texts))
