"""Looking at pairs side by side, also at those that do not serve: one query on two, and a map of one's vectors."""

from __future__ import annotations

from vecrollback.errors import UsageError
from vecrollback.pairs.resources import Resources
from vecrollback.records import AnswerComparison, DocumentRanks, Report, Result
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPair
from vecrollback.serving.vector_map import VectorMap, project

_FOREIGN = ("foreign_vector", "foreign_fingerprint")


class Inspection:
    """Reads pairs for people."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._vectors_of = resources.catalog, resources.vectors_of
        self._pairs = BorrowedPairs(resources)

    def reports(self, pair: str | None = None, *, limit: int = 20) -> list[Report]:
        """Kept check reports of one pair or of all, newest first."""
        name = None if pair is None else self._catalog.pairs.get(pair).name
        return self._catalog.reports.all(name, limit=limit)

    def search(self, pair: str, query: str, k: int = 10) -> Result:
        """What this pair answers, whether it serves or not. The epoch is 0: no pointer led there."""
        with self._pairs.pairs(pair) as [open_pair]:
            return _answer(open_pair, query, k)

    def compare(self, query: str, a: str, b: str, k: int = 10) -> AnswerComparison:
        """One query on two pairs; each document's rank in both, the best ranks first."""
        if a == b:
            raise UsageError(f"both are pair {a!r}", hint="name two pairs")
        with self._pairs.pairs(a, b) as open_pairs:
            left, right = (_answer(one, query, k) for one in open_pairs)
        # Documents of all namespaces are asked for, and an id may be in several.
        ranks = [{(hit.namespace, hit.id): rank for rank, hit in enumerate(one.hits, 1)} for one in (left, right)]
        union = dict.fromkeys([*ranks[0], *ranks[1]])
        places = sorted(
            (DocumentRanks(place[1], ranks[0].get(place), ranks[1].get(place), place[0]) for place in union),
            key=lambda place: min(rank for rank in (place.a, place.b) if rank is not None),
        )
        return AnswerComparison(query, left, right, tuple(places))

    def map(self, pair: str, *, sample: int = 1_500) -> VectorMap:
        """A pair's vectors in the plane, with what recorded and re-embedded evidence says of each."""
        record = self._catalog.pairs.get(pair)
        report = self._catalog.reports.newest(record.name)
        foreign_ids = frozenset(report.ids(*_FOREIGN)) if report else frozenset[str]()
        own = self._catalog.equivalences.of(record.fingerprint)
        return project(record, self._vectors_of(record), self._catalog.ledger.tombstones(), own, foreign_ids, sample)

    def close(self) -> None:
        """Let go of what is held open. Idempotent; the next comparison opens it again."""
        self._pairs.close()


def _answer(open_pair: OpenPair, query: str, k: int) -> Result:
    if not query.strip():
        raise UsageError("the query is blank", hint="pass the words to search for")
    [hits] = open_pair.view.search(open_pair.queries.embed_proven([query]), k)
    pair = open_pair.pair
    return Result(
        pair.name, pair.snapshot, 0, open_pair.view.watermark, open_pair.view.snapshot.manifest.settings, hits
    )
