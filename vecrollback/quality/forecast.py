"""Know before you pay: what a model would be worth, from a sample of the corpus.

The right documents of some queries and others drawn at random are embedded, and nothing else. Both models are measured
on them in the same way, and the live pair's nDCG over the whole corpus is known: so an error that both share cancels
out, and how far the estimate is off for the live pair says how far it may be off for the other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vecrollback.corpus.documents import content_hash
from vecrollback.embedders import Embedder
from vecrollback.embedders.base import traits_of
from vecrollback.embedders.pieces import embed_documents, embed_in_pieces
from vecrollback.errors import UsageError
from vecrollback.pairs.bridges import LEAST_TEXTS, CommonVectors, fit_bridge
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.vectors import ChunkVectors, came_by_bridge, newest
from vecrollback.quality.evaluation.generated_queries import live_keys
from vecrollback.quality.evaluation.query_sets import LEAST_QUERIES, QuerySet, choose_queries
from vecrollback.quality.evaluation.significance import difference
from vecrollback.quality.purity import parse_budget
from vecrollback.quality.rank_estimates import DEPTH, expected_ndcg
from vecrollback.records import (
    Difference,
    Document,
    Forecast,
    ForecastSlice,
    Metric,
    Pair,
    Progress,
    ProgressCallback,
    key_parts,
)
from vecrollback.records.arrays import FloatArray
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPair

_LEAST_SAMPLE = 60
_GENERATED = 300
_AT_ONCE = 64
_LEAST_SLICE = 10
_LEAST_OTHERS = 40
"""Of a namespace with fewer documents in the sample the whole sample stands for its documents."""
_LANGUAGE_KEYS = ("language", "lang")

Floats = NDArray[np.float64]
SampleVectors = dict[str, tuple[bytes, ChunkVectors]]
"""Document -> the hash of its text, and the vectors of its chunks."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """What is embedded: documents, the right ones first, and the queries whose right answers are among them.

    `chosen`: so many first documents are in it because they are right; the others were drawn at random. `right`: of
    each query, place of a right document -> its grade. `sizes`: documents of each namespace.
    """

    documents: list[Document]
    chosen: int
    queries: QuerySet
    right: list[dict[int, int]]
    sizes: Mapping[str, int]

    @property
    def total(self) -> int:
        """Documents of the corpus."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True)
class _Chunks:
    """Vectors of the chunks of some documents, shape (n, dimension), and which document each is of.

    `keys`: what a chunk is made of, (document, start, end), so that two models' chunks can be told to be the same.
    """

    vectors: FloatArray
    owner: NDArray[np.int64]
    keys: list[tuple[int, int, int]]


class Forecaster:
    """Forecasts models against the live pair, on open pairs of its own."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._catalog = resources, resources.catalog
        self._corpus, self._pairs = resources.corpus, BorrowedPairs(resources)

    def run(
        self,
        spec: str,
        live: Pair,
        share: str,
        *,
        seed: int | None = None,
        progress: ProgressCallback | None = None,
        on_sample: Callable[[SampleVectors], None] | None = None,
    ) -> Forecast:
        """Forecast a model.

        Args:
            spec: The model, as an embedder string.
            live: The pair that it is compared with; it is whole.
            share: How much of the corpus to embed at most, as in "5%" or "500".
            seed: Of the draw; None draws anew.
            progress: Called after every batch.
            on_sample: Called with what was embedded.

        Returns:
            The forecast.

        Raises:
            UsageError: The sample, or the number of queries, is too small to say anything.
            EmbedderSpecError: The model's string is not valid.
            EmbeddingError: A model does not answer.
        """
        embedder = self._resources.embedders.open(spec)
        sample, old = self._draw(live, share, np.random.default_rng(seed), seed)
        new, tokens, seconds = _embed(embedder, sample.documents, progress)
        texts = sample.queries.texts
        queries = embed_in_pieces(embedder.embed_queries, texts)
        with self._pairs.pairs(live.name) as [open_pair]:
            own_queries = embed_in_pieces(open_pair.queries.embed_proven, texts)
            measured = _measured(open_pair, own_queries, sample.queries)
            bridged = _bridged(open_pair, (new, old), queries, sample, measured)
        old_scores = _scores(own_queries, old, live.metric, len(sample.documents))
        new_scores = _scores(queries, new, embedder.metric, len(sample.documents))
        estimates = [_estimated(scores, sample) for scores in (old_scores, new_scores)]
        error = float(abs(estimates[0].mean() - measured.mean()))
        if on_sample is not None:
            on_sample(_by_document(sample.documents, new))
        scale, price = sample.total / len(sample.documents), traits_of(embedder).price
        return Forecast(
            embedder=spec,
            live=live.ref,
            sample=len(sample.documents),
            documents=sample.total,
            queries=len(texts),
            kind="golden" if sample.queries.kind == "golden" else "generated",
            difference=_widened(difference(f"ndcg@{DEPTH}", *estimates), measured, error),
            error=error,
            bridged=bridged,
            overlap=_overlap(old_scores, new_scores),
            seconds=seconds * scale,
            tokens=int(tokens * scale),
            dollars=None if price is None else tokens * scale * price / 1e6,
            slices=tuple(_sliced(sample, estimates, measured)),
        )

    def close(self) -> None:
        """Let go of the pair that is held open. Idempotent."""
        self._pairs.close()

    def _draw(self, live: Pair, share: str, random: np.random.Generator, seed: int | None) -> tuple[_Sample, _Chunks]:
        """Right documents of some queries up to half of the sample, and others at random; with their live vectors."""
        keys = live_keys(self._corpus).to_pylist()
        size = min(parse_budget(share, len(keys)), len(keys))
        if share.strip().endswith("%"):  # at most that share, so rounded down
            size = min(size, int(len(keys) * float(share.strip()[:-1]) / 100))
        if len(keys) < _LEAST_SAMPLE:
            raise UsageError(
                f"the corpus has {len(keys)} documents; a forecast needs {_LEAST_SAMPLE}",
                hint="of so few, embed all: `vecrollback reembed MODEL`, then `vecrollback compare`",
            )
        if size < _LEAST_SAMPLE:
            raise UsageError(
                f"a sample of {size} documents is too small; a forecast needs {_LEAST_SAMPLE}",
                hint=f"--sample {_LEAST_SAMPLE}, or a larger share",
            )
        chunks = _live_chunks(self._resources, live)
        queries = choose_queries(self._catalog, self._corpus, generated=_GENERATED, seed=seed)
        wanted = _wanted(queries, chunks.keys() & set(keys))
        chosen, right = _fitting(wanted, size // 2, random)
        if len(chosen) < LEAST_QUERIES:
            raise UsageError(
                f"only {len(chosen)} queries have their right documents in a sample of {size}; a forecast needs "
                f"{LEAST_QUERIES}",
                hint="a larger --sample, or more queries: `vecrollback golden import`",
            )
        order = [keys[place] for place in random.permutation(len(keys)).tolist()]
        rest = [key for key in order if key in chunks and key not in right][: size - len(right)]
        names = [*right, *rest]
        documents = self._corpus.at_head(lambda state: self._corpus.get(names, version=state.version))
        present = [documents[key] for key in names if key in documents]
        places = {document.key: place for place, document in enumerate(present)}
        chosen = [place for place in chosen if wanted[place].keys() <= places.keys()]
        sample = _Sample(
            present,
            sum(key in right for key in places),
            replace(queries, queries=[queries.queries[place] for place in chosen]),
            [{places[key]: grade for key, grade in wanted[place].items()} for place in chosen],
            Counter(key_parts(key)[0] for key in keys),
        )
        return sample, _read_chunks(self._resources, live, [chunks[document.key] for document in present])


def _widened(gap: Difference, measured: Floats, error: float) -> Difference:
    """A difference of estimates as one of the live pair as it is, wider by what its own estimate is off."""
    now = float(measured.mean())
    later = float(np.clip(now + gap.difference, 0, 1))
    return replace(gap, a=now, b=later, low=gap.low - error, high=gap.high + error)


def _sliced(sample: _Sample, estimates: Sequence[Floats], measured: Floats) -> Iterator[ForecastSlice]:
    """The same for parts of the queries, by what the first right document of each is like."""
    first = [sample.documents[next(iter(places))] for places in sample.right]
    lengths = np.array([len(document.text_for_model) for document in first])
    middle = int(np.median(lengths)) if len(lengths) else 0
    languages = np.array([_language(document) for document in first])
    namespaces = np.array([document.namespace for document in first])
    groups: list[tuple[Literal["language", "namespace", "length"], str, NDArray[np.bool_]]] = [
        ("language", name, languages == name) for name in sorted(set(languages.tolist()) - {""})
    ]
    groups += [("namespace", name, namespaces == name) for name in sorted(set(namespaces.tolist()))]
    groups.append(("length", f"up to {middle:,} characters", lengths <= middle))
    groups.append(("length", f"more than {middle:,} characters", lengths > middle))
    for by, value, chosen in groups:
        if _LEAST_SLICE <= np.count_nonzero(chosen) < len(chosen):
            old, new, known = (values[chosen] for values in (*estimates, measured))
            error = float(abs(old.mean() - known.mean()))
            yield ForecastSlice(by, value, _widened(difference(f"ndcg@{DEPTH}", old, new), known, error))


def _language(document: Document) -> str:
    """What a document's metadata say of its language; "" where they say nothing."""
    named = next((document.metadata[key] for key in _LANGUAGE_KEYS if document.metadata.get(key)), "")
    return named.lower() if isinstance(named, str) else ""


def _by_document(documents: Sequence[Document], chunks: _Chunks) -> SampleVectors:
    """What was embedded, in the form in which a pair takes it."""
    given: SampleVectors = {}
    for place, document in enumerate(documents):
        mine = np.flatnonzero(chunks.owner == place)
        spans = np.array([chunks.keys[row][1:] for row in mine.tolist()], np.int32).reshape(-1, 2)
        given[document.key] = content_hash(document.text_for_model), ChunkVectors(spans, chunks.vectors[mine])
    return given


def _bridged(
    open_pair: OpenPair, both: tuple[_Chunks, _Chunks], queries: FloatArray, sample: _Sample, measured: Floats
) -> Difference | None:
    """The live pair with the model's queries, mapped by what the sample teaches; None where that is too little."""
    new, old = both
    places = {key: place for place, key in enumerate(old.keys)}
    # Not the right documents: a map that has seen just those leads to them.
    common = [(n, places[key]) for n, key in enumerate(new.keys) if key in places and key[0] >= sample.chosen]
    if len(common) < LEAST_TEXTS:
        return None
    mine, theirs = (list(one) for one in zip(*common, strict=True))
    fitted = fit_bridge(CommonVectors(new.vectors[mine], old.vectors[theirs]), open_pair.pair)
    values = _measured(open_pair, fitted.map.apply(queries), sample.queries)
    return difference(f"ndcg@{DEPTH}", measured, values)


def _wanted(queries: QuerySet, here: set[str]) -> list[dict[str, int]]:
    """Of each query its right documents (key -> grade); empty where one of them is not here.

    A golden query names a document by its id, in whichever namespaces that is.
    """
    named = [{id_: grade for id_, grade in query.expected.items() if grade > 0} for query in queries.queries]
    keys: dict[str, list[str]] = {name: [] for one in named for name in one}
    for key in here:
        name = key_parts(key)[1] if queries.kind == "golden" else key
        if name in keys:
            keys[name].append(key)
    return [
        {key: grade for name, grade in one.items() for key in sorted(keys[name])} if all(keys[n] for n in one) else {}
        for one in named
    ]


def _fitting(
    wanted: Sequence[Mapping[str, int]], most: int, random: np.random.Generator
) -> tuple[list[int], dict[str, None]]:
    """Places of queries at random whose right documents are `most` together, and those documents."""
    chosen: list[int] = []
    right: dict[str, None] = {}
    for place in random.permutation(len(wanted)).tolist():
        more = [key for key in wanted[place] if key not in right]
        if wanted[place] and len(right) + len(more) <= most:
            chosen.append(place)
            right.update(dict.fromkeys(more))
    return chosen, right


def _embed(
    embedder: Embedder, documents: Sequence[Document], progress: ProgressCallback | None
) -> tuple[_Chunks, int, float]:
    """Vectors of the documents' chunks, their tokens, and the seconds that it took."""
    began = time.monotonic()
    whole = [document.text_for_model for document in documents]
    keys = [(n, start, end) for n, text in enumerate(whole) for start, end in embedder.chunk(text)]
    texts = [whole[n][start:end] for n, start, end in keys]
    parts, tokens = [], 0
    for first in range(0, len(texts), _AT_ONCE):
        batch = texts[first : first + _AT_ONCE]
        parts.append(embed_documents(embedder, batch))
        tokens += embedder.count_tokens(batch)
        if progress is not None:
            done = keys[min(first + _AT_ONCE, len(keys)) - 1][0] + 1
            elapsed = time.monotonic() - began
            progress(Progress("", "embedding a sample", done, len(documents), first + len(batch), 0, tokens, elapsed))
    owner = np.array([n for n, _, _ in keys], np.int64)
    return _Chunks(np.concatenate(parts), owner, keys), tokens, time.monotonic() - began


def _live_chunks(resources: Resources, pair: Pair) -> dict[str, list[tuple[int, int, int]]]:
    """Document -> (row, start, end) of its chunks that count, of documents whose text is still the one embedded."""
    vectors = resources.vectors_of(pair)
    keys = vectors.keys(pair.vectors_version)
    rows = newest(keys, dict(resources.catalog.ledger.tombstones()))
    bridged = came_by_bridge(vectors.fingerprints(pair.vectors_version))
    rows = rows[(np.asarray(keys["ordinal"])[rows] >= 0) & ~bridged[rows]]
    table = keys.select(["doc_id", "start", "end"]).take(pa.array(rows))
    chunks: dict[str, list[tuple[int, int, int]]] = {}
    columns = (table[name].to_pylist() for name in ("doc_id", "start", "end"))
    for row, id_, start, end in zip(rows.tolist(), *columns, strict=True):
        chunks.setdefault(id_, []).append((row, start, end))
    return chunks


def _read_chunks(resources: Resources, pair: Pair, chunks: Sequence[list[tuple[int, int, int]]]) -> _Chunks:
    flat = [(n, row, start, end) for n, parts in enumerate(chunks) for row, start, end in parts]
    rows = np.array([row for _, row, _, _ in flat], np.int64)
    order = np.argsort(rows)
    vectors = np.empty((len(rows), pair.dimension), np.float32)
    vectors[order] = resources.vectors_of(pair).read(pair.vectors_version, rows[order]).vectors
    owner = np.array([n for n, _, _, _ in flat], np.int64)
    return _Chunks(vectors, owner, [(n, start, end) for n, _, start, end in flat])


def _scores(queries: FloatArray, chunks: _Chunks, metric: Metric, documents: int) -> Floats:
    """Of each query for each document, by its best chunk; shape (queries, documents), higher is nearer."""
    by_chunk = queries @ chunks.vectors.T
    if metric == "l2":
        by_chunk = 2 * by_chunk - np.einsum("ij,ij->i", chunks.vectors, chunks.vectors)
    scores = np.full((len(queries), documents), -np.inf)
    for place in range(len(chunks.owner)):
        owner = chunks.owner[place]
        np.maximum(scores[:, owner], by_chunk[:, place], out=scores[:, owner])
    return scores


def _estimated(scores: Floats, sample: _Sample) -> Floats:
    """Expected nDCG of each query over all documents that it is asked of."""
    others = scores.copy()
    namespaces = np.array([document.namespace for document in sample.documents])
    totals = np.full(len(scores), sample.total)
    for namespace, rows in sample.queries.by_namespace():
        if namespace is not None:
            elsewhere = namespaces != namespace
            totals[rows] = sample.sizes[namespace]
            if np.count_nonzero(~elsewhere) >= _LEAST_OTHERS:
                others[np.ix_(np.array(rows), np.flatnonzero(elsewhere))] = np.nan
    for row, places in enumerate(sample.right):
        others[row, list(places)] = np.nan
    values = [scores[row, list(places)] for row, places in enumerate(sample.right)]
    grades = [np.array(list(places.values()), np.float64) for places in sample.right]
    return expected_ndcg(values, grades, others, totals)


def _measured(open_pair: OpenPair, vectors: FloatArray, queries: QuerySet) -> Floats:
    return queries.ndcg(queries.search(open_pair.view, vectors))


def _overlap(a: Floats, b: Floats) -> float:
    best = [np.argpartition(-scores, DEPTH - 1, axis=1)[:, :DEPTH] for scores in (a, b)]
    return float(np.mean([len(np.intersect1d(x, y)) / DEPTH for x, y in zip(*best, strict=True)]))
