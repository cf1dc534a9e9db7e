"""Vectors of documents that are made because a query needs them: within a budget, proven, and handed over to keep."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.embedders.pieces import QUERIES_FIRST
from vecrollback.embedders.probe_texts import PROBES
from vecrollback.embedders.riding_probes import BatchProbes
from vecrollback.errors import TextRefusedError, VecrollbackError
from vecrollback.pairs.vectors import ChunkVectors
from vecrollback.records.arrays import FloatArray
from vecrollback.storage.forks import FollowsForks, follow_forks

_log = logging.getLogger(__name__)

_KEPT = 4_096
"""Documents whose vectors stay in memory after they were written: the view of the pair has them a moment later."""
_REST_SECONDS, _PATIENCE_SECONDS, _LAST_PATIENCE_SECONDS = 0.5, 10.0, 2.0

Keep = Callable[[str, Mapping[str, tuple[bytes, ChunkVectors]], int, float], None]
"""Writes vectors of a pair: its name; document -> (hash of its text, vectors); queries that were answered meanwhile;
how many seconds to wait for whoever else writes."""


@dataclass(frozen=True, slots=True)
class WantedText:
    """A document that a query needs a vector of: its key, the text for the model, and the hash of that."""

    key: str
    text: str
    content_hash: bytes


class TextBudget:
    """Texts that may be embedded for queries: so many for one, and so many in a second."""

    def __init__(self, per_query: int, per_second: int) -> None:
        self.per_query, self._per_second = per_query, per_second
        self._most = float(max(per_query, per_second))
        self._left, self._at = self._most, time.monotonic()

    def take(self, texts: int) -> int:
        """How many of these may be embedded now; they count as spent."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        granted = min(texts, self.per_query, int(self._left))
        self._left -= granted
        return granted

    def give_back(self, texts: int) -> None:
        """Count so many as not spent after all."""
        self._left += texts


class OnDemand(FollowsForks):
    """Vectors of one pair's documents that were made for queries. Safe to use from many threads.

    Args:
        pair: Its name.
        embedder: The pair's own, proven when it was opened.
        probes: Ride with every batch, so that what is kept is proven too.
        budget: How many texts may be embedded.
        keep: Writes them; None keeps them in memory alone.
        soon: On a thread of its own, twice a second; else when somebody asks for it, and at the end.
    """

    def __init__(
        self, pair: str, embedder: Embedder, probes: BatchProbes, budget: TextBudget, keep: Keep | None, *, soon: bool
    ) -> None:
        self._pair, self._embedder, self._probes = pair, embedder, probes
        self._budget, self._keep, self._soon = budget, keep, soon
        self._begin()
        follow_forks(self)

    def _begin(self) -> None:
        self._made: dict[str, tuple[bytes, ChunkVectors]] = {}
        self._unwritten: set[str] = set()
        self._refused: set[tuple[str, bytes]] = set()
        self._queries = 0
        self._lock, self._embedding = threading.Lock(), threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = self._trouble_logged = False

    def forked(self) -> None:
        """What the parent has made it writes itself."""
        self._begin()

    def find(self, wanted: Sequence[WantedText]) -> dict[str, ChunkVectors]:
        """Vectors of those documents that have some, of the text that they have now."""
        with self._lock:
            there = [(one.key, one.content_hash, self._made.get(one.key)) for one in wanted]
        return {key: made[1] for key, content_hash, made in there if made is not None and made[0] == content_hash}

    def make(self, wanted: Sequence[WantedText]) -> int:
        """Embed those that have none, the first ones first, as far as the budget goes.

        Args:
            wanted: Documents, in the order in which they matter.

        Returns:
            How many texts were embedded.

        Raises:
            EmbeddingError: The model does not work.
            EmbedderChangedError: It is another model by now; nothing that it made is kept.
        """
        with self._embedding:  # one after the other: two queries must not embed the same text
            there = self.find(wanted)
            none = [one for one in wanted if one.key not in there]
            missing = [one for one in none if (one.key, one.content_hash) not in self._refused]
            spans = {one.key: list(self._embedder.chunk(one.text)) for one in missing[: self._budget.per_query]}
            missing, texts = _within(missing, spans, self._budget)
            if missing:
                self._embed(missing, spans)
            return texts

    @property
    def refused(self) -> set[str]:
        """Documents whose text the model does not take: no query waits for a vector of them."""
        with self._lock:
            return {key for key, _ in self._refused}

    def answered(self, queries: int) -> None:
        """Count queries, and let what was made for them be written soon."""
        with self._lock:
            self._queries += queries
        if self._keep is not None and self._soon:
            self._start()

    def _embed(self, wanted: Sequence[WantedText], spans: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        try:
            made = self._vectors(wanted, spans)
        except Exception as error:
            if not _may_be_a_texts_fault(error):
                raise
            made = {}
            for one in wanted:
                try:
                    made |= self._vectors([one], spans)
                except Exception as reason:  # the build meets it again, and says which document it is
                    if not _may_be_a_texts_fault(reason):
                        raise
                    with self._lock:
                        self._refused.add((one.key, one.content_hash))
        with self._lock:
            self._made |= made
            self._unwritten |= made.keys()
            written = [key for key in self._made if key not in self._unwritten]
            for key in written[: max(0, len(self._made) - _KEPT)]:
                del self._made[key]

    def _vectors(
        self, wanted: Sequence[WantedText], spans: Mapping[str, Sequence[tuple[int, int]]]
    ) -> dict[str, tuple[bytes, ChunkVectors]]:
        chunks = [one.text[start:end] for one in wanted for start, end in spans[one.key]]
        riders = self._probes.draw(len(chunks)) if chunks else ()
        with QUERIES_FIRST.query():
            texts = [*chunks, *(PROBES[number] for number in riders)]
            nothing: FloatArray = np.empty((0, self._embedder.dimension), np.float32)
            vectors = self._embedder.embed_documents(texts) if texts else nothing
        self._probes.examine(riders, vectors[len(chunks) :])
        squares = np.einsum("ij,ij->i", vectors, vectors)
        if not np.all(np.isfinite(squares) & ((squares > 0) | (self._embedder.metric == "l2"))):
            raise TextRefusedError("a document got a vector of no length, or with NaN or infinity")
        made, first = {}, 0
        for one in wanted:
            own = np.array(spans[one.key], np.int32).reshape(-1, 2)
            made[one.key] = one.content_hash, ChunkVectors(own, vectors[first : first + len(own)].astype(np.float32))
            first += len(own)
        return made

    # -- handing over -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="vecrollback-cascade", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._wake.wait(_REST_SECONDS):
            self.hand_over(_PATIENCE_SECONDS)

    def hand_over(self, patience: float = _LAST_PATIENCE_SECONDS) -> None:
        """Have what was made written now. What cannot be written is tried again later."""
        with self._lock:
            batch = {key: self._made[key] for key in self._unwritten}
            queries, self._queries = self._queries, 0
            self._unwritten.clear()
        if self._keep is None or not (batch or queries):
            return
        try:
            self._keep(self._pair, batch, queries, patience)
            self._trouble_logged = False
        except (VecrollbackError, OSError) as error:
            with self._lock:
                self._unwritten |= batch.keys() & self._made.keys()
                self._queries += queries
            if not self._trouble_logged:
                _log.warning("vectors made for queries of %s are not written yet: %s", self._pair, error)
            self._trouble_logged = True

    def close(self) -> None:
        """Hand over what is left, and end."""
        with self._lock:
            self._closed, thread = True, self._thread
        self._wake.set()
        if thread is not None:
            thread.join()
        self.hand_over()


def _within(
    wanted: Sequence[WantedText], spans: Mapping[str, Sequence[tuple[int, int]]], budget: TextBudget
) -> tuple[list[WantedText], int]:
    """The first documents whose chunks the budget pays for, and how many chunks that is."""
    sizes = [len(spans[one.key]) for one in wanted if one.key in spans]
    left = granted = budget.take(sum(sizes))
    count = 0
    for size in sizes:
        if size > left:
            break
        left, count = left - size, count + 1
    budget.give_back(left)
    return list(wanted[:count]), granted - left


def _may_be_a_texts_fault(error: Exception) -> bool:
    """Whether other texts could fare better. An embedder of the user's own may raise anything over a text."""
    return isinstance(error, TextRefusedError) or not isinstance(error, VecrollbackError | OSError)
