"""From the log to the vectors table: the loop that builds a pair, catches it up and resumes after a crash.

Changes are read in windows by seq, at most 16,384 of them or 64 million characters. Inside a window texts are sorted
by length, so that a batch pads little; each batch is appended and synced as soon as an engine has embedded it. The
watermark moves when the whole window is written, so a crash repeats at most the batches that were then in work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.catalog import Catalog, vectors_table
from vecrollback.corpus.corpus import Corpus
from vecrollback.embedders import Embedder
from vecrollback.embedders.riding_probes import BatchProbes
from vecrollback.errors import EmbedderChangedError, EngineLostError, StoppedError
from vecrollback.pairs.compaction import adopt_finished
from vecrollback.pairs.vectors import ChunkVectors, Giver, ReusableVectors, Vectors, newest, schema
from vecrollback.quality.check.doubt import IN_DOUBT, documents_in_doubt, with_doubt
from vecrollback.records import CorpusState, Pair, UnembeddedDocument
from vecrollback.records.arrays import FloatArray
from vecrollback.reembedding.dispatch import Batch, Dispatch, EmbedCounts, Pending, SameTexts, Task, TaskSizes, Throttle
from vecrollback.reembedding.engines import Engine, Threads
from vecrollback.storage.local import reach

_WINDOW_CHANGES = 16_384
_WINDOW_CHARACTERS = 64 << 20
_READ_CHANGES = 1_024
_KNOWN_BATCH = 8_192
_NO_HASH = bytes(16)
_MOST_READ, _MOST_READ_ROUNDS = 512, 8
_ONE_BATCH = 16
"""Changes that are embedded together anyway: no order among them helps anybody."""


class Refresher:
    """Brings one pair's vectors to the head of the log. The caller holds the pair's lock for its whole life.

    `others`: names further tables to take finished vectors from; `on_batch` is called after
    every durable batch and may raise to stop there; `on_made` is called with the number of every batch that an engine
    made, before it is written; `engine`: where texts are embedded, by default a thread of this process; `gate`: whether
    more may be begun; `probes`: ride with every batch; `job`: who gives documents up that cannot be embedded;
    `answered`: the change up to which another pair names what this one lacks.
    """

    def __init__(
        self,
        catalog: Catalog,
        corpus: Corpus,
        vectors: Vectors,
        embedder: Embedder,
        pair: Pair,
        *,
        others: Callable[[], Sequence[Giver]] = lambda: (),
        on_batch: Callable[[EmbedCounts], None] = lambda _: None,
        on_made: Callable[[int], None] = lambda _: None,
        engine: Engine | None = None,
        gate: Throttle | None = None,
        probes: BatchProbes | None = None,
        job: str = "",
        answered: int = 0,
    ) -> None:
        self._catalog, self._corpus, self._vectors = catalog, corpus, vectors
        self._embedder, self._pair, self._on_batch, self._on_made = embedder, pair, on_batch, on_made
        self._engine, self._gate, self._job, self._probes = engine, gate or Throttle(), job, probes
        self._made_by = pair.fingerprint
        """Provenance of what the embedder makes."""
        self._owner = vectors_table(pair.name)
        self._version = self._durable_version = adopt_finished(catalog, vectors, pair)
        self._watermark = pair.watermark
        self._archive = ReusableVectors(vectors, self._version, others, catalog.files.of(self._owner))
        self._without = {(one.document, one.seq) for one in catalog.embedding.without(pair=pair.name)}
        self._early: set[tuple[str, int]] = set()
        self._answered = answered
        self._sizing = TaskSizes()
        self.tally = EmbedCounts()

    @property
    def watermark(self) -> int:
        return self._watermark

    def run(self) -> EmbedCounts:
        """Apply changes until the watermark is at the head of the log as it was when the last window began.

        Where writers are as quick as this loop, it ends once a window no longer reduces the lag.
        """
        state = self._corpus.state()
        self.tally.total = max(0, state.head - self._watermark)
        if self._pair.snapshot and self.tally.total > _ONE_BATCH:
            # What no answer holds at all comes first. Of a pair that serves before it is whole another one names most
            # of that, and what queries asked for is next.
            self._take_in_new()
            self._take_in_most_read()
        while self._watermark < state.head:
            begin = self._watermark
            last_seq, window = self._corpus.at_head(self._window)
            self._take_in(window)
            # Only now: a watermark inside an unfinished window would skip the changes still to be written (law 5).
            self._watermark = last_seq
            self._acknowledge({})
            before, behind = state.head, state.head - begin
            state = self._corpus.state()
            self.tally.total = self.tally.documents + state.head - self._watermark
            if last_seq >= before and state.head - last_seq >= behind:
                break
        caught_up = self._watermark >= state.head
        # Searchers report with a delay, so reads of vectors that are current by now may still be listed.
        if caught_up and self._catalog.stale_reads.most(self._pair.name, 1):
            self._catalog.stale_reads.forget(self._pair.name)
        return self.tally

    def take_over(self, ids: Sequence[str], given: Mapping[bytes, ChunkVectors]) -> None:
        """Write vectors that exist already, by content hash, for the changes of these documents that lack them."""
        head, finished_keys = self._corpus.state().head, self._finished_changes()
        pending = self._corpus.at_head(
            partial(self._pending_of_ids, ids, self._watermark, head, finished_keys=finished_keys)
        )
        if batch := [(change, given[change.content_hash]) for change in pending if change.content_hash in given]:
            self._append(batch)

    def rewrite(self, ids: Sequence[str], *, masked: Collection[str] = ()) -> EmbedCounts:
        """Embed these documents again, also where vectors exist, and supersede their rows; for repair.

        Those that are `masked` are in no answer until their new vectors are written.
        """
        pending = self._corpus.at_head(partial(self._pending_of_ids, ids, 0, self._watermark, finished_keys=set()))
        self.tally.total = len(pending)
        hidden = set(masked)
        # Hidden before the new vectors are made: embedding takes minutes, and the wrong rows would answer meanwhile.
        if wrong := [one for one in pending if one.id in hidden]:
            self._mask(wrong)
        self._take_in(sorted(pending, key=lambda c: len(c.text)), reuse=False)
        return self.tally

    def _mask(self, changes: Sequence[Pending]) -> None:
        """Take these documents out of every answer until they have new vectors; durable when it returns.

        Each gets a row without a chunk and without a content hash: it supersedes what is wrong, no search finds it,
        no text is ever matched to it, and a check calls the document stale, so a repair that dies here is seen.
        """
        nothing = ChunkVectors(np.empty((0, 2), np.int32), np.empty((0, self._embedder.dimension), np.float32))
        self._append([(replace(change, content_hash=_NO_HASH), nothing) for change in changes])
        self.tally.documents -= len(changes)
        self._on_batch(self.tally)

    # -- what to take in ----------------------------------------------------------------------------------------------

    def _window(self, state: CorpusState) -> tuple[int, list[Pending]]:
        """The next changes without vectors, shortest first, and the seq up to which they reach."""
        changes = self._corpus.changes(self._watermark, state.head, version=state.version)
        finished_keys = self._finished_changes()
        pending: list[Pending] = []
        count = characters = 0
        for first in range(0, changes.num_rows, _READ_CHANGES):
            part = changes.slice(first, _READ_CHANGES)
            fresh = self._pending(part, state.version, finished_keys)
            count += part.num_rows - self._count_early(part)
            pending += fresh
            characters += sum(len(p.text) for p in fresh)
            if len(pending) >= _WINDOW_CHANGES or characters >= _WINDOW_CHARACTERS:
                last_seq = int(part["_seq"][-1].as_py())
                break
        else:
            last_seq = state.head
        self.tally.documents += count - len(pending)  # the pending ones count when their vectors are durable
        return last_seq, sorted(pending, key=lambda p: len(p.text))

    def _take_in_new(self) -> None:
        """First embed the documents that have no vector at all, and so are in no answer; the watermark does not move.

        Deleted ones need nothing: they are masked from the first query on.
        """
        # Bounded by the head of now: with a busy writer this would never end.
        until = self._corpus.state().head
        while pending := self._corpus.at_head(partial(self._pending_new, until)):
            self._early |= {(one.id, one.seq) for one in pending}
            self._take_in(sorted(pending, key=lambda p: len(p.text)))

    def _take_in_most_read(self) -> None:
        """Then embed the documents whose outdated vectors answered the most queries, as searchers report them."""
        # A fixed number of rounds: writers and searchers go on meanwhile, so the list may never get empty.
        for _ in range(_MOST_READ_ROUNDS):
            ids = self._catalog.stale_reads.most(self._pair.name, _MOST_READ)
            if not ids:
                return
            head, finished_keys = self._corpus.state().head, self._finished_changes()
            pending = self._corpus.at_head(
                partial(self._pending_of_ids, ids, self._watermark, head, finished_keys=finished_keys)
            )
            self._early |= {(one.id, one.seq) for one in pending}
            self._take_in(sorted(pending, key=lambda p: len(p.text)))
            self._catalog.stale_reads.forget(self._pair.name, ids)

    def _pending_of_ids(
        self, ids: Sequence[str], after: int, upto: int, state: CorpusState, *, finished_keys: set[tuple[str, int]]
    ) -> list[Pending]:
        changes = self._corpus.changes(after, upto, version=state.version)
        rows = changes.filter(pc.is_in(changes["id"], value_set=pa.array(ids, pa.string())))
        return self._pending(rows, state.version, finished_keys)

    def _pending_new(self, until: int, state: CorpusState) -> list[Pending]:
        changes = self._corpus.changes(max(self._watermark, self._answered), until, version=state.version)
        fresh = changes.filter(pc.invert(self._vectors.have_rows(self._version, changes["id"])))
        finished_keys = self._finished_changes()
        pending: list[Pending] = []
        for first in range(0, fresh.num_rows, _READ_CHANGES):
            pending += self._pending(fresh.slice(first, _READ_CHANGES), state.version, finished_keys)
            if len(pending) >= _WINDOW_CHANGES or sum(len(p.text) for p in pending) >= _WINDOW_CHARACTERS:
                break
        return pending

    def _pending(self, changes: pa.Table, version: int, finished_keys: set[tuple[str, int]]) -> list[Pending]:
        rows = [r for r in changes.to_pylist() if not r["_deleted"] and (r["id"], r["_seq"]) not in finished_keys]
        texts = self._corpus.texts([r["_rowid"] for r in rows], version=version)
        return [Pending(r["id"], r["_seq"], r["_content_hash"], t) for r, t in zip(rows, texts, strict=True)]

    def _count_early(self, changes: pa.Table) -> int:
        """How many of these changes were embedded out of turn, and counted then."""
        if not self._early:
            return 0
        both = zip(changes["id"].to_pylist(), changes["_seq"].to_pylist(), strict=True)
        return sum(one in self._early for one in both)

    def _finished_changes(self) -> set[tuple[str, int]]:
        """Changes after the watermark that have vectors, or that no model could embed: never embedded again (law 6)."""
        late = self._vectors.made_after(self._version, self._watermark)
        return {*zip(late["doc_id"].to_pylist(), late["seq"].to_pylist(), strict=True), *self._without}

    # -- taking it in -------------------------------------------------------------------------------------------------

    def _take_in(self, window: Sequence[Pending], *, reuse: bool = True) -> None:
        """Write vectors of these changes: first those that exist, then those that the engine makes."""
        self._archive.extend(self._version)
        vectors_by_hash = self._archive.find([p.content_hash for p in window]) if reuse else {}
        if reuse:
            missing = {p.content_hash: p.text for p in window if p.content_hash not in vectors_by_hash}
            vectors_by_hash |= self._archive.find_chunks(missing, self._embedder.chunk)
        reuse_batch = [(p, vectors_by_hash[p.content_hash]) for p in window if p.content_hash in vectors_by_hash]
        for first in range(0, len(reuse_batch), _KNOWN_BATCH):
            batch = reuse_batch[first : first + _KNOWN_BATCH]
            self.tally.reused += len(batch)
            self._append(batch)
            self._on_batch(self.tally)
        by_hash: dict[bytes, SameTexts] = {}
        for change in window:
            if change.content_hash not in vectors_by_hash:
                by_hash.setdefault(change.content_hash, []).append(change)
        self._embed(list(by_hash.values()))

    def _embed(self, groups: list[SameTexts]) -> None:
        own = closing(Threads(self._embedder)) if self._engine is None else nullcontext(self._engine)
        with own as engine:
            dispatch = Dispatch(engine, self._gate, self._probes)
            self.tally.workers = engine.workers if groups else self.tally.workers
            try:
                for task in dispatch.run(self._tasks(groups)):
                    self._finish(task)
                    self._on_batch(self.tally)
            except (StoppedError, EngineLostError) as error:
                # Units that were begun may be paid for: every answer that can still be had is written.
                for task in dispatch.rest() if isinstance(error, StoppedError) else dispatch.ended():
                    self._finish(task)
                raise
            except EmbedderChangedError as error:
                self._leave_in_doubt(error)
                raise

    def _leave_in_doubt(self, error: EmbedderChangedError) -> None:
        """List the vectors whose own proof may have met a sound replica, or call, while they did not."""
        if self._probes is None:
            return
        keys = self._vectors.keys(self._version)
        counted = newest(keys, self._catalog.ledger.tombstones())
        ids = documents_in_doubt(keys, counted, self._probes.count, self._probes.draws_in_doubt)
        before, head = self._catalog.reports.newest(self._pair.name), self._corpus.state().head
        if not set(ids) <= set(before.ids(IN_DOUBT) if before else ()):  # whoever tries again adds nothing
            self._catalog.reports.add(with_doubt(before, self._pair, ids, error.message, head))

    def _tasks(self, groups: list[SameTexts]) -> Iterator[Task]:
        lengths = [len(group[0].text) for group in groups]
        first, characters = 0, sum(lengths)
        while first < len(groups):
            count = self._sizing.first(islice(lengths, first, None), characters / self.tally.workers)
            yield Task(groups[first : first + count])
            first, characters = first + count, characters - sum(lengths[first : first + count])

    def _finish(self, task: Task) -> None:
        if task.reason:
            changes = [change for group in task.groups for change in group]
            self._give_up(changes, task.reason)
            return
        self._sizing.learn(task)
        self.tally.chunks += sum(len(chunks.spans) for chunks in task.made)
        self.tally.tokens += task.tokens
        self.tally.ideal += task.ideal
        self.tally.embedded += len(task.groups)
        self._on_made(self._version + 1)
        self._append(task.batch, made_by=self._made_by)

    def _give_up(self, changes: Sequence[Pending], reason: str) -> None:
        documents = [UnembeddedDocument(self._pair.name, one.id, one.seq, self._job, reason) for one in changes]
        self._catalog.embedding.give_up(documents)
        self._without |= {(one.document, one.seq) for one in documents}
        self.tally.given_up += len(changes)
        self.tally.documents += len(changes)

    def _append(self, batch: Batch, *, made_by: str = "") -> None:
        fingerprint = made_by or self._pair.fingerprint
        rows = table(batch, fingerprint, self._version + 1, self._embedder.dimension)
        # Order for durability: the rows, synced; then the catalog names them; only then do they count as done (law 4).
        commit = self._vectors.append(rows, known=self._version)
        reach("vectors.appended")
        self._version = commit.version
        self._acknowledge(commit.files)
        self.tally.documents += len(batch)
        if again := self._without & {(change.id, change.seq) for change, _ in batch}:
            self._catalog.embedding.made_good(self._pair.name, sorted(again))
            self._without -= again

    def _acknowledge(self, files: Mapping[str, str]) -> None:
        # `expected` refuses the move if another writer has moved the pair: a lost lock must not lose rows.
        self._catalog.pairs.advance(
            self._pair.name,
            watermark=self._watermark,
            vectors_version=self._version,
            expected=self._durable_version,
            files=files,
        )
        self._durable_version = self._version


def table(batch: Batch, fingerprint: str, number: int, dimension: int) -> pa.Table:
    """Rows of a batch. `number` is the version they will be: of two batches for one change, the later one counts."""
    counts = [max(1, len(chunks.spans)) for _, chunks in batch]
    vectors: list[FloatArray] = []
    spans: list[NDArray[np.int32]] = []
    ordinals: list[NDArray[np.int32]] = []
    for _, chunks in batch:
        blank = not len(chunks.spans)
        vectors.append(np.zeros((1, dimension), np.float32) if blank else chunks.vectors)
        spans.append(np.zeros((1, 2), np.int32) if blank else chunks.spans)
        ordinals.append(np.array([-1], np.int32) if blank else np.arange(len(chunks.spans), dtype=np.int32))
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
