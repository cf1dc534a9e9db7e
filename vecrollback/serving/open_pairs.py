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

from vecrollback.corpus.text_cache import TextCache, open_text_cache
from vecrollback.corpus.text_cache import advanced as advance_text_cache
from vecrollback.embedders.riding_probes import QueryProbes
from vecrollback.errors import PairStateError, StorageUnavailableError, VecrollbackError
from vecrollback.pairs.resources import Resources
from vecrollback.records import Pair
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
    changes up to where it was asked for; else, of the later ones, only what they deleted.
    """

    pair: Pair
    queries: QueryProbes
    view: PairView
    current: bool = True


@dataclass(frozen=True, slots=True)
class Position:
    """A snapshot, `PAIR@N`, and how far its pair's vectors go; `head`: of the log, as its searcher has just read it."""

    ref: str
    vectors_version: int
    watermark: int
    head: int | None = None


class OpenPairs(FollowsForks):
    """Opens pairs, advances them, and lets go of them. Texts and tombstones are shared by all it holds."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus, self._artifacts = resources.catalog, resources.corpus, resources.artifacts
        self._embedders, self._vectors_of, self._cache = resources.embedders, resources.vectors_of, resources.cache
        self._lock = threading.RLock()
        self._texts: TextCache | None = None
        self._held: dict[str, OpenPair] = {}
        self._cold: set[str] = set()
        self._away_until = 0.0
        self._behind: dict[str, tuple[OpenPair, int, OpenPair]] = {}
        follow_forks(self)

    def forked(self) -> None:
        inherit(self._held, self._behind, self._texts)
        self._held, self._behind, self._texts = {}, {}, None
        self._lock = threading.RLock()

    @property
    def refs(self) -> tuple[str, ...]:
        """Snapshots that are open, sorted."""
        return tuple(sorted(self._held))

    def find(self, ref: str) -> OpenPair | None:
        """The pair that is open at this snapshot, as it was when it was last asked for; opens and advances nothing."""
        return self._held.get(ref)

    def at(self, position: Position) -> OpenPair:
        """The pair at this position and at the corpus's head; opened first when it is not.

        While the storage is away: what is held of it, without what was deleted since.
        """
        with self._lock:
            held, head = self._held.get(position.ref), self._head(position)
            if held is not None and self._lacks(held, position, head) and self._away():
                return self._without_storage(held, head)
            try:
                texts = self._refreshed(head)
                return self._advance(held or self._open(position, texts), position, texts)
            except (VecrollbackError, OSError):
                if held is None or self._reachable():
                    raise
                return self._without_storage(held, head)

    def warm(self, positions: Iterable[Position]) -> None:
        """Open these beside whatever serves, without holding up a query; what cannot be opened is logged once."""
        if self._away():
            return
        self._renew()
        for position in positions:
            try:
                if position.ref not in self._held:
                    with self._lock:
                        texts = self._refreshed()
                    held = self._open(position, texts)
                    held.queries.embed(["warm"])
                    self._held.setdefault(position.ref, held)
                self.at(position)
                self._cold.discard(position.ref)
            except (VecrollbackError, OSError) as error:
                if position.ref not in self._cold:
                    _log.warning("pair %s cannot be held warm: %s", position.ref, error)
                self._cold.add(position.ref)

    def keep_only(self, refs: Iterable[str]) -> None:
        """Let go of all others. Their files are closed when the last query that uses them has ended."""
        with self._lock:
            for ref in set(self._held) - set(refs):
                del self._held[ref]
                self._behind.pop(ref, None)

    # -- while the storage is away ------------------------------------------------------------------------------------

    def _head(self, position: Position) -> int:
        return self._corpus.state().head if position.head is None else position.head

    def _lacks(self, held: OpenPair, position: Position, head: int) -> bool:
        """Whether files have to be read before it answers for this position."""
        standing = held.view.vectors_version, held.view.watermark
        texts = self._texts
        return standing != (position.vectors_version, position.watermark) or texts is None or texts.head < head

    def _away(self) -> bool:
        """Whether the storage was away a moment ago; looked at again after a while, soon answered either way."""
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
        self._behind.clear()
        return True

    def _without_storage(self, held: OpenPair, head: int) -> OpenPair:
        known = self._behind.get(held.view.snapshot.ref)
        if known is None or known[0] is not held or known[1] != head:
            fresh = self._catalog.ledger.tombstones(held.view.texts.head)
            known = held, head, replace(held, view=without(held.view, fresh), current=False)
            self._behind[held.view.snapshot.ref] = known
        return known[2]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _refreshed(self, head: int | None = None) -> TextCache:
        """Texts and changes at the head. Deletes count from the first query after their acknowledgement."""
        if self._texts is not None and head is not None and self._texts.head >= head:
            return self._texts
        if self._texts is None:
            self._texts = open_text_cache(self._corpus, self._cache)
        else:
            self._texts = advance_text_cache(self._texts, self._corpus)
        return self._texts

    def _renew(self) -> None:
        """Write a new file of texts when too much changed since the last one."""
        if self._texts is not None and self._texts.needs_rebuild:
            fresh = open_text_cache(self._corpus, self._cache)
            with self._lock:
                self._texts = advance_text_cache(fresh, self._corpus)

    def _open(self, position: Position, texts: TextCache) -> OpenPair:
        snapshot = self._catalog.pairs.find_snapshot(position.ref)
        pair = self._catalog.pairs.get(snapshot.pair)
        queries = self._embedders.query_probes(pair)
        opened = OpenSnapshot(self._artifacts, snapshot)
        view = open_view(
            opened,
            self._vectors_of(pair),
            texts,
            self._catalog.ledger.tombstones(),  # read after the chunks: it may know more deletes, never fewer
            vectors_version=position.vectors_version,
            watermark=position.watermark,
        )
        return OpenPair(pair, queries, view)

    def _advance(self, held: OpenPair, position: Position, texts: TextCache) -> OpenPair:
        view = held.view
        wanted = (position.vectors_version, position.watermark, texts)
        if (view.vectors_version, view.watermark, view.texts) != wanted:
            fresh: Mapping[str, int] = self._catalog.ledger.tombstones(view.texts.head)
            view = advanced_view(
                view,
                self._vectors_of(held.pair),
                texts,
                fresh,
                vectors_version=position.vectors_version,
                watermark=position.watermark,
            )
            held = replace(held, view=view)
        self._held[position.ref] = held
        return held


class BorrowedPairs(FollowsForks):
    """Opens pairs for one caller at a time: two models and two indexes beside those that serve are enough."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._catalog = resources, resources.catalog
        self._holder: OpenPairs | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        follow_forks(self)

    def forked(self) -> None:
        inherit(self._holder)
        self._holder = self._timer = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def pairs(self, *names: str) -> Iterator[list[OpenPair]]:
        """These pairs, each at the head of the log, whether they serve or not.

        Raises UnknownNameError, and PairStateError for one that is not built yet.
        """
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._holder is None:
                self._holder = OpenPairs(self._resources)
            try:
                held = [self._held(self._holder, name) for name in names]
                self._holder.keep_only({one.view.snapshot.ref for one in held})
                yield held
            finally:
                self._timer = threading.Timer(_IDLE_SECONDS, self.close)
                self._timer.daemon = True
                self._timer.start()

    def _held(self, holder: OpenPairs, name: str) -> OpenPair:
        pair = self._catalog.pairs.get(name)
        if not pair.snapshot:
            raise PairStateError(f"pair {name!r} is {pair.state} and cannot answer", hint="wait until it is built")
        return holder.at(Position(pair.ref, pair.vectors_version, pair.watermark))

    def close(self) -> None:
        """Let go of what is held open. Idempotent; the next caller opens it again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._holder is not None:
                self._holder.keep_only(())
            self._holder = self._timer = None
