"""Pairs held open for search: loaded model, open index, and a view that is brought to the head before it is used.

For a searcher, which holds live and standby, and for somebody who only looks (drills, comparisons, the dashboard).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from vecrollback.catalog import Catalog
from vecrollback.corpus.text_cache import TextCache, open_text_cache
from vecrollback.corpus.text_cache import advanced as advance_text_cache
from vecrollback.corpus.text_cache import mended as are_mended
from vecrollback.errors import CorruptArtifactError, PairStateError, StorageUnavailableError, VecrollbackError
from vecrollback.pairs.late_model import QueryModel
from vecrollback.pairs.resources import Resources
from vecrollback.records import CANDIDATE, Pair
from vecrollback.serving.open_snapshot import OpenSnapshot
from vecrollback.serving.view import PairView, open_view, without
from vecrollback.serving.view import advanced as advanced_view
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit

_log = logging.getLogger(__name__)
_AWAY_SECONDS = 5.0

_IDLE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class OpenPair:
    """A pair that can answer at once. Immutable: a query that has one keeps it to its end.

    `queries`: embeds them, and proves now and then that the model is still the pair's own. `current`: it knows all
    changes up to where it was asked for; else, of the later ones, only what they deleted. `trouble`: which files cannot
    be read, where that is why.
    """

    pair: Pair
    queries: QueryModel
    view: PairView
    current: bool = True
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """A snapshot, `PAIR@N`, and how far its pair's vectors go; `head`: of the log, as its searcher has just read it."""

    ref: str
    vectors_version: int
    watermark: int
    head: int | None = None


class _Damaged(NamedTuple):
    """What a pair with damaged files answers from, until its files are tried again."""

    position: Position
    head: int
    until: float
    open_pair: OpenPair

    def holds(self, position: Position, head: int) -> bool:
        return (self.position, self.head) == (position, head) and time.monotonic() < self.until


class OpenPairs(FollowsForks):
    """Opens pairs, advances them to the head of the log, and closes them. They share the texts and tombstones."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus, self._artifacts = resources.catalog, resources.corpus, resources.artifacts
        self._embedders, self._vectors_of, self._cache = resources.embedders, resources.vectors_of, resources.cache
        self._lock = threading.RLock()
        self._texts: TextCache | None = None
        self._open_pairs: dict[str, OpenPair] = {}
        self._cold: set[str] = set()
        self._away_until = self._mend_after = 0.0
        self._behind: dict[str, tuple[OpenPair, int, OpenPair]] = {}
        self._damaged: dict[str, _Damaged] = {}
        follow_forks(self)

    def forked(self) -> None:
        inherit(self._open_pairs, self._behind, self._damaged, self._texts)
        self._open_pairs, self._behind, self._damaged, self._texts = {}, {}, {}, None
        self._lock = threading.RLock()

    @property
    def refs(self) -> tuple[str, ...]:
        """Snapshots that are open, sorted."""
        return tuple(sorted(self._open_pairs))

    @property
    def names(self) -> frozenset[str]:
        """The pairs of these snapshots, and those that answer from what is left of their files."""
        return frozenset(ref.rpartition("@")[0] for ref in (*self._open_pairs, *self._damaged))

    def find(self, ref: str) -> OpenPair | None:
        """The pair that is open at this snapshot, as it was when it was last asked for; opens and advances nothing."""
        return self._open_pairs.get(ref)

    def at(self, position: Position) -> OpenPair:
        """The pair at this position and at the corpus's head; opened first when it is not.

        While the storage cannot be reached: the pair as it was last opened, without the documents deleted since. Where
        files of its newer vectors are gone or damaged: what can be read of it, and `trouble` says which.
        """
        # One lock for opening and advancing: two queries after a move must not load the same pair twice.
        with self._lock:
            open_pair, head = self._open_pairs.get(position.ref), self._head(position)
            damaged = self._damaged.get(position.ref)
            if damaged is not None and damaged.holds(position, head):
                return damaged.open_pair
            if open_pair is not None and self._lacks(open_pair, position, head) and self._away():
                return self._without_storage(open_pair, head)
            try:
                texts = self._refresh_texts(head)
                open_pair = self._advance(open_pair or self._open(position, texts), position, texts)
                self._damaged.pop(position.ref, None)
                return replace(open_pair, current=False, trouble=texts.problem) if texts.problem else open_pair
            except (VecrollbackError, OSError) as error:
                # With the storage in reach the error is a fault of the pair.
                if open_pair is None or self._reachable():
                    if newer := self._newer(position):
                        return self.at(newer)
                    if isinstance(error, CorruptArtifactError):
                        return self._from_what_is_left(position, open_pair, head, error)
                    raise
                return self._without_storage(open_pair, head)

    def texts_at(self, head: int) -> TextCache:
        """The texts of all documents, at this head of the log or a later one."""
        with self._lock:
            return self._refresh_texts(head)

    def warm(self, positions: Iterable[Position]) -> None:
        """Open these beside whatever serves, without holding up a query; what cannot be opened is logged once."""
        if self._away():
            return
        self._renew()
        for position in positions:
            try:
                if position.ref not in self._open_pairs and position.ref not in self._damaged:
                    with self._lock:
                        texts = self._refresh_texts()
                    # Outside the lock: loading a model takes seconds, and queries of the other pairs need the lock.
                    open_pair = self._open(position, texts)
                    # The first call to a model is the slow one; it must not be a caller's.
                    open_pair.queries.embed(["warm"])
                    # A query may have opened the same pair meanwhile; that one stays.
                    self._open_pairs.setdefault(position.ref, open_pair)
                self.at(position)
                self._cold.discard(position.ref)
            except (VecrollbackError, OSError) as error:
                if position.ref not in self._cold:
                    _log.warning("pair %s cannot be held warm: %s", position.ref, error)
                self._cold.add(position.ref)

    def keep_only(self, refs: Iterable[str]) -> None:
        """Let go of all others. Their files are closed when the last query that uses them has ended."""
        with self._lock:
            for ref in {*self._open_pairs, *self._damaged} - set(refs):
                for pairs in (self._open_pairs, self._behind, self._damaged):
                    pairs.pop(ref, None)

    def _newer(self, position: Position) -> Position | None:
        """Where the pair is by now: whoever was stopped after it read the pointer finds its version cleaned away."""
        pair = self._catalog.pairs.find(position.ref.rpartition("@")[0])
        if pair is None or pair.ref != position.ref or pair.vectors_version == position.vectors_version:
            return None
        return replace(position, vectors_version=pair.vectors_version, watermark=pair.watermark)

    def forget(self) -> None:
        """Let go of all of them, and of the texts that they share; queries in flight end on what they began with."""
        with self._lock:
            self._open_pairs.clear()
            self._behind.clear()
            self._texts = None

    # -- while the storage is away ------------------------------------------------------------------------------------

    def _head(self, position: Position) -> int:
        return self._corpus.state().head if position.head is None else position.head

    def _lacks(self, open_pair: OpenPair, position: Position, head: int) -> bool:
        """Whether files must be read before this pair can answer at this position."""
        standing = open_pair.view.vectors_version, open_pair.view.watermark
        texts = self._texts
        return standing != (position.vectors_version, position.watermark) or texts is None or texts.head < head

    def _away(self) -> bool:
        """Whether the storage could not be reached. Asked again after `_AWAY_SECONDS`, so that queries do not wait."""
        if not self._away_until:
            return False
        return time.monotonic() < self._away_until or not self._reachable()

    def _reachable(self) -> bool:
        try:
            self._corpus.table.file_store.require_reachable()
        except StorageUnavailableError as error:
            if not self._away_until:
                _log.warning("answering from what is held open: %s", error)
            self._away_until = time.monotonic() + _AWAY_SECONDS
            return False
        self._away_until = 0.0
        # These views lack what was written meanwhile; from here on the files can be read again.
        self._behind.clear()
        return True

    def _without_storage(self, open_pair: OpenPair, head: int) -> OpenPair:
        # Kept until the log's head moves: masking costs a pass over all rows, too much for each query.
        entry = self._behind.get(open_pair.view.snapshot.ref)
        if entry is None or entry[0] is not open_pair or entry[1] != head:
            fresh = self._catalog.ledger.tombstones(open_pair.view.texts.head)
            entry = open_pair, head, replace(open_pair, view=without(open_pair.view, fresh), current=False)
            self._behind[open_pair.view.snapshot.ref] = entry
        return entry[2]

    # -- where files are damaged --------------------------------------------------------------------------------------

    def _from_what_is_left(
        self, position: Position, open_pair: OpenPair | None, head: int, error: CorruptArtifactError
    ) -> OpenPair:
        """The pair without the rows that cannot be read. A rollback to it must answer, and say what it lacks.

        What is held open stays, without what was deleted since. Else its index answers alone: its own documents,
        marked where they changed. Raises what reading them raises.
        """
        before = self._damaged.get(position.ref)
        if before is None:
            _log.error("pair %s answers without its newer vectors: %s", position.ref, error)
        if open_pair is not None:
            open_pair = self._without_storage(open_pair, head)
        else:
            open_pair = before.open_pair if before else self._open(position, self._refresh_texts(head), index_only=True)
            if open_pair.view.texts.head != head:
                open_pair = self._open(position, self._refresh_texts(head), index_only=True)
        open_pair = replace(open_pair, current=False, trouble=str(error))
        self._damaged[position.ref] = _Damaged(position, head, time.monotonic() + _AWAY_SECONDS, open_pair)
        return open_pair

    # -- inside -------------------------------------------------------------------------------------------------------

    def _refresh_texts(self, head: int | None = None) -> TextCache:
        """Texts and changes at the head. Deletes count from the first query after their acknowledgement."""
        if self._texts is not None and not self._texts.problem and head is not None and self._texts.head >= head:
            return self._texts
        if self._texts is None or self._are_mended(self._texts):
            self._texts = open_text_cache(self._corpus, self._cache)
            if self._texts.problem:
                _log.error("answers lack documents: %s", self._texts.problem)
                self._mend_after = time.monotonic() + _AWAY_SECONDS
        else:
            self._texts = advance_text_cache(self._texts, self._corpus)
        return self._texts

    def _are_mended(self, texts: TextCache) -> bool:
        """Whether damaged files of the log were put back; asked every `_AWAY_SECONDS`."""
        if not texts.problem or time.monotonic() < self._mend_after:
            return False
        self._mend_after = time.monotonic() + _AWAY_SECONDS
        return are_mended(texts, self._corpus)

    def _renew(self) -> None:
        """Write a new file of texts when too much changed since the last one."""
        # Queries go on with the old texts while the new file is written; only the exchange takes the lock.
        if self._texts is not None and self._texts.needs_rebuild:
            fresh = open_text_cache(self._corpus, self._cache)
            with self._lock:
                self._texts = advance_text_cache(fresh, self._corpus)

    def _open(self, position: Position, texts: TextCache, *, index_only: bool = False) -> OpenPair:
        snapshot = self._catalog.pairs.find_snapshot(position.ref)
        pair = self._catalog.pairs.get(snapshot.pair)
        queries = self._embedders.query_model(pair)
        vectors = self._vectors_of(pair)
        open_snapshot = OpenSnapshot(self._artifacts, snapshot, vectors)
        view = open_view(
            open_snapshot,
            None if index_only else vectors,
            texts,
            self._catalog.ledger.tombstones(),  # read after the chunks: it may know more deletes, never fewer
            vectors_version=position.vectors_version,
            watermark=position.watermark,
        )
        return OpenPair(pair, queries, view)

    def _advance(self, open_pair: OpenPair, position: Position, texts: TextCache) -> OpenPair:
        view = open_pair.view
        place = (position.vectors_version, position.watermark, texts)
        if (view.vectors_version, view.watermark, view.texts) != place:
            fresh: Mapping[str, int] = self._catalog.ledger.tombstones(view.texts.head)
            view = advanced_view(
                view,
                view.vectors or self._vectors_of(open_pair.pair),  # it knows which files it has compared
                texts,
                fresh,
                vectors_version=position.vectors_version,
                watermark=position.watermark,
            )
            open_pair = replace(open_pair, view=view)
        self._open_pairs[position.ref] = open_pair
        return open_pair


def near(catalog: Catalog, alias: str) -> list[Position]:
    """Where an alias points, maybe since just now, and what it may move to: the standby and the candidate."""
    pairs = {pair.name: pair for pair in catalog.pairs.all()}
    neighbours = {pair.ref: pair for pair in pairs.values() if pair.state == "standby"}
    # read after the states: of a move in between, this knows the pair that was a standby
    aliases = catalog.aliases.all()
    for one in (alias, CANDIDATE):
        target = aliases.get(one)
        if target and pairs[target.pair].state != "quarantined":  # its model may be what is broken
            neighbours[target.ref] = pairs[target.pair]
    return [Position(ref, pair.vectors_version, pair.watermark) for ref, pair in neighbours.items()]


class BorrowedPairs(FollowsForks):
    """Opens pairs for one caller at a time: two models and two indexes beside those that serve are enough."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._catalog = resources, resources.catalog
        self._open_pairs: OpenPairs | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        follow_forks(self)

    def forked(self) -> None:
        inherit(self._open_pairs)
        self._open_pairs = self._timer = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def pairs(self, *names: str) -> Iterator[list[OpenPair]]:
        """These pairs, each at the head of the log, whether they serve or not.

        Raises UnknownNameError, and PairStateError for one that is not built yet.
        """
        with self._lock:
            # The pairs stay open for a while after use: who compares once often compares again, and loading is slow.
            if self._timer is not None:
                self._timer.cancel()
            if self._open_pairs is None:
                self._open_pairs = OpenPairs(self._resources)
            try:
                pairs = [self._open(self._open_pairs, name) for name in names]
                self._open_pairs.keep_only({one.view.snapshot.ref for one in pairs})
                self._resources.embedders.let_go_unused()
                yield pairs
            finally:
                self._timer = threading.Timer(_IDLE_SECONDS, self.close)
                self._timer.daemon = True
                self._timer.start()

    def _open(self, open_pairs: OpenPairs, name: str) -> OpenPair:
        pair = self._catalog.pairs.get(name)
        if not pair.snapshot:
            raise PairStateError(f"pair {name!r} is {pair.state} and cannot answer", hint="wait until it is built")
        return open_pairs.at(Position(pair.ref, pair.vectors_version, pair.watermark))

    def close(self) -> None:
        """Let go of what is held open. Idempotent; the next caller opens it again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._open_pairs is not None:
                self._open_pairs.keep_only(())
            self._open_pairs = self._timer = None
        self._resources.embedders.let_go_unused()
