"""From the log to the vectors table: the loop that builds a pair, catches it up and resumes after a crash.

Changes are taken in windows by seq. Inside a window texts are sorted by length, so that a batch pads little; a batch
is embedded, appended and synced before the next. The watermark moves when a window is whole, so a crash repeats at
most the batch it interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from vecrollback.archive import Archive, Passages
from vecrollback.catalog import Catalog, vectors_table
from vecrollback.corpus import Corpus
from vecrollback.embedders import Embedder
from vecrollback.faults import reach
from vecrollback.records import CorpusState, Pair
from vecrollback.vectors import FloatArray, Vectors, schema

_WINDOW_CHANGES = 16_384
_WINDOW_CHARACTERS = 64 << 20
_READ_CHANGES = 1_024
_FLUSH_SECONDS = 10.0
_FLUSH_LEAST, _FLUSH_MOST = 256, 8_192


@dataclass(frozen=True, slots=True)
class Pending:
    """One document change that has no vectors yet."""

    id: str
    seq: int
    content_hash: bytes
    text: str


@dataclass(slots=True)
class Tally:
    """What was done so far. `documents`: changes taken in; `embedded`, `reused`: texts; `chunks`, `tokens`: read."""

    documents: int = 0
    embedded: int = 0
    reused: int = 0
    chunks: int = 0
    tokens: int = 0
    total: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started


class Refresher:
    """Brings one pair's vectors to the head of the log. The caller holds the pair's lock for its whole life.

    `others`: names further tables of the same embedder to take finished vectors from; `on_batch` is called after
    every durable batch and may raise to stop there.
    """

    def __init__(
        self,
        catalog: Catalog,
        corpus: Corpus,
        vectors: Vectors,
        embedder: Embedder,
        pair: Pair,
        *,
        others: Callable[[], Sequence[tuple[Vectors, int]]] = lambda: (),
        on_batch: Callable[[Tally], None] = lambda _: None,
    ) -> None:
        self._catalog, self._corpus, self._vectors = catalog, corpus, vectors
        self._embedder, self._pair, self._on_batch = embedder, pair, on_batch
        self._owner = vectors_table(pair.name)
        self._version = self._acknowledged = self._adopt()
        self._watermark = pair.watermark
        self._archive = Archive(vectors, self._version, others)
        self._flush = float(_FLUSH_LEAST)
        self.tally = Tally()

    @property
    def watermark(self) -> int:
        return self._watermark

    def run(self) -> Tally:
        """Take in changes until the watermark is at the head that stood when the last window began."""
        state = self._corpus.state()
        self.tally.total = max(0, state.head - self._watermark)
        while self._watermark < state.head:
            reached, window = self._corpus.at_head(self._window)
            for batch in self._batches(window):
                self._append(batch)
            self._watermark = reached
            self._acknowledge({})
            state = self._corpus.state()
            self.tally.total = self.tally.documents + state.head - self._watermark
        return self.tally

    def rewrite(self, changes: Sequence[Pending]) -> Tally:
        """Embed these again whatever exists, superseding their rows; for repair."""
        self.tally.total = len(changes)
        for batch in self._batches(sorted(changes, key=lambda c: len(c.text)), reuse=False):
            self._append(batch)
        return self.tally

    def _adopt(self) -> int:
        """Acknowledge what a writer finished before it died."""
        found = self._vectors.recover(self._pair.vectors_version, self._catalog.files.of(self._owner))
        if found.version != self._pair.vectors_version:
            self._catalog.pairs.advance(
                self._pair.name,
                watermark=self._pair.watermark,
                vectors_version=found.version,
                expected=self._pair.vectors_version,
                files=found.files,
            )
        return found.version

    def _window(self, state: CorpusState) -> tuple[int, list[Pending]]:
        """The next changes without vectors, shortest first, and the seq up to which they reach."""
        head, version = state.head, state.version
        changes = self._corpus.changes(self._watermark, head, version=version)
        done = self._done()
        pending: list[Pending] = []
        read = characters = 0
        for first in range(0, changes.num_rows, _READ_CHANGES):
            part = changes.slice(first, _READ_CHANGES)
            read += part.num_rows
            fresh = self._pending(part, version, done)
            pending += fresh
            characters += sum(len(p.text) for p in fresh)
            if len(pending) >= _WINDOW_CHANGES or characters >= _WINDOW_CHARACTERS:
                reached = int(part["_seq"][-1].as_py())
                break
        else:
            reached = head
        self.tally.documents += read - len(pending)  # those count when their vectors are durable
        return reached, sorted(pending, key=lambda p: len(p.text))

    def _pending(self, changes: pa.Table, version: int, done: set[tuple[str, int]]) -> list[Pending]:
        rows = [r for r in changes.to_pylist() if not r["_deleted"] and (r["id"], r["_seq"]) not in done]
        texts = self._corpus.texts([r["_rowid"] for r in rows], version=version)
        return [Pending(r["id"], r["_seq"], r["_content_hash"], t) for r, t in zip(rows, texts, strict=True)]

    def _done(self) -> set[tuple[str, int]]:
        """Changes after the watermark that have vectors: batches of a window that was not finished."""
        keys = self._vectors.keys(self._version)
        late = np.flatnonzero(np.asarray(keys["seq"]) > self._watermark)
        kept = keys.select(["doc_id", "seq"]).take(pa.array(late))
        return set(zip(kept["doc_id"].to_pylist(), kept["seq"].to_pylist(), strict=True))

    # -- batches ------------------------------------------------------------------------------------------------------

    def _batches(self, window: Sequence[Pending], *, reuse: bool = True) -> Iterator[list[tuple[Pending, Passages]]]:
        """Batches of changes with their vectors: first those whose vectors exist, then those to embed."""
        self._archive.extend(self._version)
        found = self._archive.find([p.content_hash for p in window]) if reuse else {}
        known = [(p, found[p.content_hash]) for p in window if p.content_hash in found]
        for first in range(0, len(known), _FLUSH_MOST):
            batch = known[first : first + _FLUSH_MOST]
            self.tally.reused += len(batch)
            yield batch
        twins: dict[bytes, list[Pending]] = {}
        for change in window:
            if change.content_hash not in found:
                twins.setdefault(change.content_hash, []).append(change)
        yield from self._embedded(list(twins.values()))

    def _embedded(self, groups: list[list[Pending]]) -> Iterator[list[tuple[Pending, Passages]]]:
        batch: list[list[Pending]] = []
        spans: list[NDArrayInt] = []
        chunks = 0
        for group in groups:
            batch.append(group)
            spans.append(np.array(self._embedder.chunk(group[0].text), dtype=np.int32).reshape(-1, 2))
            chunks += max(1, len(spans[-1]))
            if chunks >= self._flush:
                yield self._embed(batch, spans)
                batch, spans, chunks = [], [], 0
        if batch:
            yield self._embed(batch, spans)

    def _embed(self, groups: list[list[Pending]], spans: list[NDArrayInt]) -> list[tuple[Pending, Passages]]:
        started = time.monotonic()
        texts = [g[0].text[start:end] for g, part in zip(groups, spans, strict=True) for start, end in part.tolist()]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), self._embedder.dimension), dtype=np.float32)
        if texts:
            vectors[order] = self._embedder.embed_documents([texts[i] for i in order])
        self._adapt(len(texts), time.monotonic() - started)
        self.tally.chunks += len(texts)
        self.tally.tokens += self._embedder.count_tokens(texts)
        self.tally.embedded += len(groups)
        ends = np.cumsum([0, *map(len, spans)])
        made = [Passages(part, vectors[ends[i] : ends[i + 1]]) for i, part in enumerate(spans)]
        return [(change, passages) for group, passages in zip(groups, made, strict=True) for change in group]

    def _adapt(self, chunks: int, seconds: float) -> None:
        """Size batches so that a crash loses about ten seconds, whatever the model."""
        if chunks:
            wanted = _FLUSH_SECONDS * chunks / max(seconds, 1e-3)
            self._flush = min(max(wanted, _FLUSH_LEAST), 4 * self._flush, _FLUSH_MOST)

    def _append(self, batch: list[tuple[Pending, Passages]]) -> None:
        rows = _table(batch, self._pair.fingerprint, self._version + 1, self._embedder.dimension)
        commit = self._vectors.append(rows, known=self._version)
        reach("vectors.appended")
        self._version = commit.version
        self._acknowledge(commit.files)
        self.tally.documents += len(batch)
        self._on_batch(self.tally)

    def _acknowledge(self, files: object) -> None:
        assert isinstance(files, dict)
        self._catalog.pairs.advance(
            self._pair.name,
            watermark=self._watermark,
            vectors_version=self._version,
            expected=self._acknowledged,
            files=files,
        )
        self._acknowledged = self._version


NDArrayInt = np.ndarray[tuple[int, int], np.dtype[np.int32]]


def _table(batch: Sequence[tuple[Pending, Passages]], fingerprint: str, number: int, dimension: int) -> pa.Table:
    """Rows of a batch. `number` is the version they will be: of two batches for one change, the later one counts."""
    counts = [max(1, len(passages.spans)) for _, passages in batch]
    vectors: list[FloatArray] = []
    spans: list[NDArrayInt] = []
    ordinals: list[np.ndarray[tuple[int], np.dtype[np.int32]]] = []
    for _, passages in batch:
        blank = not len(passages.spans)
        vectors.append(np.zeros((1, dimension), np.float32) if blank else passages.vectors)
        spans.append(np.zeros((1, 2), np.int32) if blank else passages.spans)
        ordinals.append(np.array([-1], np.int32) if blank else np.arange(len(passages.spans), dtype=np.int32))
    every = np.concatenate(spans)
    repeat = np.repeat(np.arange(len(batch)), counts)
    flat = pa.array(np.concatenate(vectors).reshape(-1))
    columns = [
        pa.array([c.id for c, _ in batch], pa.string()).take(pa.array(repeat)),
        pa.array(np.array([c.seq for c, _ in batch], np.int64)[repeat]),
        pa.array(np.full(len(repeat), number, np.int64)),
        pa.array(np.concatenate(ordinals)),
        pa.array(every[:, 0]),
        pa.array(every[:, 1]),
        pa.array([c.content_hash for c, _ in batch], pa.binary(16)).take(pa.array(repeat)),
        pa.array([fingerprint] * len(repeat), pa.string()),
        pa.FixedSizeListArray.from_arrays(flat, dimension),
    ]
    return pa.Table.from_arrays(columns, schema=schema(dimension))
