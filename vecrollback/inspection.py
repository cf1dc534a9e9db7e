"""Looking at pairs side by side, also at those that do not serve: one query on two, and a map of one's vectors."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from vecrollback.catalog import Catalog
from vecrollback.errors import PairStateError, UsageError
from vecrollback.holding import Held, Holder, Position
from vecrollback.mapping import VectorMap, project
from vecrollback.records import Compared, Pair, Placed, Report, Result
from vecrollback.vectors import Vectors

_IDLE_SECONDS = 300.0
_FOREIGN = ("foreign_vector", "foreign_fingerprint")


class Inspection:
    """Reads pairs for people. Holds what a comparison needs open apart from what serves, and lets go of it soon."""

    def __init__(self, catalog: Catalog, vectors_of: Callable[[Pair], Vectors], holder: Callable[[], Holder]) -> None:
        self._catalog, self._vectors_of, self._make_holder = catalog, vectors_of, holder
        self._holder: Holder | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def reports(self, pair: str | None = None, *, limit: int = 20) -> list[Report]:
        """Kept check reports of one pair or of all, newest first."""
        name = None if pair is None else self._catalog.pairs.get(pair).name
        return self._catalog.reports.all(name, limit=limit)

    def search(self, pair: str, query: str, k: int = 10) -> Result:
        """What this pair answers, whether it serves or not. The epoch is 0: no pointer led there."""
        with self._open() as holder:
            return _answer(self._held(holder, pair), query, k)

    def compare(self, query: str, a: str, b: str, k: int = 10) -> Compared:
        """One query on two pairs; each document's rank in both, the best ranks first."""
        if a == b:
            raise UsageError(f"both are pair {a!r}", hint="name two pairs")
        with self._open() as holder:
            left, right = (_answer(self._held(holder, name), query, k) for name in (a, b))
            holder.keep_only({f"{one.pair}@{one.snapshot}" for one in (left, right)})
        ranks = [{hit.id: rank for rank, hit in enumerate(one.hits, 1)} for one in (left, right)]
        union = dict.fromkeys([*ranks[0], *ranks[1]])
        places = sorted(
            (Placed(id_, ranks[0].get(id_), ranks[1].get(id_)) for id_ in union),
            key=lambda placed: min(rank for rank in (placed.a, placed.b) if rank is not None),
        )
        return Compared(query, left, right, tuple(places))

    def map(self, pair: str, *, sample: int = 1_500) -> VectorMap:
        """A pair's vectors in the plane, with what recorded and re-embedded evidence says of each."""
        found = self._catalog.pairs.get(pair)
        report = self._catalog.reports.newest(found.name)
        named = frozenset(report.ids(*_FOREIGN)) if report else frozenset[str]()
        own = self._catalog.equivalences.of(found.fingerprint)
        return project(found, self._vectors_of(found), self._catalog.ledger.tombstones(), own, named, sample)

    def _held(self, holder: Holder, name: str) -> Held:
        pair = self._catalog.pairs.get(name)
        if not pair.snapshot:
            raise PairStateError(f"pair {name!r} is {pair.state} and cannot answer", hint="wait until it is built")
        return holder.at(Position(pair.ref, pair.vectors_version, pair.watermark))

    @contextlib.contextmanager
    def _open(self) -> Iterator[Holder]:
        # One at a time: two models and two indexes beside those that serve are enough.
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._holder is None:
                self._holder = self._make_holder()
            try:
                yield self._holder
            finally:
                self._timer = threading.Timer(_IDLE_SECONDS, self.close)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """Let go of what is held open. Idempotent; the next comparison opens it again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._holder is not None:
                self._holder.keep_only(())
            self._holder = self._timer = None


def _answer(held: Held, query: str, k: int) -> Result:
    if not query.strip():
        raise UsageError("the query is blank", hint="pass the words to search for")
    [hits] = held.view.search(held.embedder.embed_queries([query]), k)
    pair = held.pair
    return Result(pair.name, pair.snapshot, 0, held.view.watermark, held.view.snapshot.manifest.settings, hits)
