"""What a query is answered."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vecrollback.records.documents import Json
from vecrollback.records.tables import html_table, pandas_frame, polars_frame

if TYPE_CHECKING:  # whoever only reads records must not wait for NumPy
    from vecrollback.records.arrays import FloatArray

SearchMode = Literal["vector", "keyword", "hybrid"]
"""What answers: the nearest vectors of the live pair, the words themselves, or both together."""

Weights = tuple[float, float]
"""What vectors and words count in a hybrid answer."""

WHOLE_TEXT = -1
"""The `chunk` of a hit whose text is not one chunk but the whole document."""


AnsweredBy = Literal["pair", "standby", "bridge", "keyword", "cascade"]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to answer beside the words: at most `k` documents of a `namespace` ("": without one) that match `where`.

    `weights`: what vectors and words count in a hybrid answer; None joins them by rank. `reranker`: what orders the
    candidates in the end.
    """

    k: int = 10
    where: str | None = None
    namespace: str = ""
    include_vectors: bool = False
    mode: SearchMode = "vector"
    weights: Weights | None = None
    reranker: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One document that answers a query. `score`: higher is nearer. `chunk`: ordinal of its best chunk, whose text
    `text` is.

    `stale` means the document changed after this vector was made. Where that chunk lay says nothing about today's text:
    `text` is then the whole document as it is today, and `chunk` is `WHOLE_TEXT`, -1. So it is where the model was
    given another text than the one that is returned. `vector`: of that chunk, where it was asked for.
    """

    id: str
    score: float
    text: str
    metadata: Mapping[str, Json]
    chunk: int
    stale: bool
    namespace: str = ""
    vector: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PairVectors:
    """Vectors with what made them, so that no other pair takes them for its own.

    `vectors`: float32, shape (n, dimension). `fingerprint`: of the embedder that made them. `pair` and `epoch`: which
    pair it was, and which epoch of `live`.
    """

    vectors: FloatArray
    fingerprint: str
    pair: str = ""
    epoch: int = 0

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, part: int | slice) -> PairVectors:
        rows = slice(part, part + 1 or None) if isinstance(part, int) else part
        return PairVectors(self.vectors[rows], self.fingerprint, self.pair, self.epoch)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        return self.vectors if dtype is None else self.vectors.astype(dtype)

    def tolist(self) -> list[list[float]]:
        """The vectors as lists of numbers."""
        numbers: list[list[float]] = self.vectors.tolist()
        return numbers


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one query and which pair, snapshot and epoch gave it. Never two of them.

    `current` is False when the catalog could not be asked, or files of the pair's newer vectors could not be read: the
    answer then comes from what the searcher last knew, or from the pair's index alone.
    `canary`: the pair is one that is tried, not the one that serves; `epoch` is of the pointer all the same.
    `doubt` says why the model that embedded the query cannot be the one that made the pair; "" while it is proven.
    `reason` says why there is no hit at all: no pair serves (`pair` is then ""), or there is nothing that could match.
    `metric`, `dimension`, `fingerprint`: of the pair's vectors. `vectors_version`, `head`: which of its vectors and
    which state of the log the answer knows.
    `answered_by` is "pair", or what answered in its place while its model did not: "standby", the pair before it with
    its own model (`pair` is its name then), "bridge", the pair itself, with a vector that came over a bridge, or
    "keyword", the words of the query. "cascade": the pair is not whole; its own vectors ranked what others named, or,
    under "standby" or "bridge", the pair before it answered.
    `measured`: what that was worth when it was last measured, see `BridgeWorth` and `CascadeTrial`; None where that is
    not known.
    `mode`: what was asked, vectors, words or both; scores are cosines and the like, BM25, or sums of reciprocal ranks,
    of weighted shares where weights were given. `reranker`: the fingerprint of what ordered the hits in the end, whose
    scores they then have; else "".
    """

    pair: str
    snapshot: int
    epoch: int
    watermark: int
    settings: Mapping[str, Json]
    hits: list[Hit]
    current: bool = True
    canary: bool = False
    doubt: str = ""
    reason: str = ""
    metric: str = ""
    dimension: int = 0
    fingerprint: str = ""
    vectors_version: int = 0
    head: int = 0
    answered_by: AnsweredBy = "pair"
    measured: Mapping[str, Json] | None = None
    mode: SearchMode = "vector"
    reranker: str = ""

    @property
    def cache_key(self) -> str:
        """What an answer depends on beside the question: two answers of one key to one question are equal.

        It changes with the pair, its snapshot, its vectors and the log, and is the same again after a move away and
        back if nothing was written meanwhile.
        """
        by = "" if self.answered_by == "pair" else f".{self.answered_by}"
        order = f".{self.reranker}" if self.reranker else ""
        return f"{self.pair}@{self.snapshot}.{self.vectors_version}.{self.head}{by}{order}"

    def _repr_html_(self) -> str:
        """A table of the hits, as notebooks show it."""
        rows = (
            (number, hit.score, hit.id, hit.text, dict(hit.metadata), "stale" if hit.stale else "")
            for number, hit in enumerate(self.hits, 1)
        )
        source = f"{self.pair}@{self.snapshot}, epoch {self.epoch}" if self.pair else self.answered_by
        note = "; ".join(filter(None, (source, self.reason, self.doubt)))
        return html_table(("", "score", "id", "text", "metadata", ""), rows, note)

    def to_pandas(self) -> Any:
        """The hits as a `pandas.DataFrame`, the best first: `id`, `score`, `text`, ..., `metadata.KEY` for each key."""
        return pandas_frame(_columns(self.hits))

    def to_polars(self) -> Any:
        """The same as a `polars.DataFrame`."""
        return polars_frame(_columns(self.hits))


def _columns(hits: Sequence[Hit]) -> dict[str, list[Any]]:
    """A column for each thing that a hit says, and one for each key of the metadata, None where a hit has no such key.

    A key may be called as it likes: its column begins with `metadata.`.
    """
    names = ("id", "score", "text", "namespace", "chunk", "stale")
    columns: dict[str, list[Any]] = {name: [getattr(hit, name) for hit in hits] for name in names}
    for key in dict.fromkeys(key for hit in hits for key in hit.metadata):
        columns[f"metadata.{key}"] = [hit.metadata.get(key) for hit in hits]
    if any(hit.vector is not None for hit in hits):
        columns["vector"] = [None if hit.vector is None else list(hit.vector) for hit in hits]
    return columns


@dataclass(frozen=True, slots=True)
class DocumentRanks:
    """A document's rank in each of two answers; None where it is not among the first k."""

    id: str
    a: int | None
    b: int | None
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class AnswerComparison:
    """One query on two pairs, and where each document stands in both answers, the best ranks first."""

    query: str
    a: Result
    b: Result
    places: tuple[DocumentRanks, ...]

    @property
    def overlap(self) -> float:
        """Share of the longer answer that both have."""
        a, b = ([(hit.namespace, hit.id) for hit in one.hits] for one in (self.a, self.b))
        return overlap(a, b)


def overlap(a: Collection[Hashable], b: Collection[Hashable]) -> float:
    """Share of the longer list of documents that is in both; 1.0 of two empty ones."""
    longer = max(len(a), len(b))
    return len(set(a) & set(b)) / longer if longer else 1.0
