"""What a pair answered while it served: when, how much, and in which incidents it was left."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from vecrollback.catalog import Catalog, as_kept
from vecrollback.catalog.answer_counts import canary_alias
from vecrollback.records import LIVE, Affected, AffectedTerm, SnapshotRef
from vecrollback.records.times import read_time

_EVERY_EPOCH = 2**62


def affected(catalog: Catalog, pair: str, since: str | None = None) -> Affected:
    """What searchers counted of a pair's answers. Raises UnknownNameError, and UsageError for what is not a time."""
    catalog.pairs.get(pair)
    start = as_kept(read_time(since)) if since else ""
    terms = tuple(term for term in _terms(catalog, pair) if not start or term.ended is None or term.ended >= start)
    incidents = (
        one.number
        for one in catalog.incidents.all()
        if one.blast.pair == pair and (one.timeline.switched or "") >= start
    )
    return Affected(
        pair=pair,
        since=start,
        terms=terms,
        canary_answers=catalog.served.between(canary_alias(pair), 0, _EVERY_EPOCH).answers,
        incidents=tuple(sorted(incidents)),
        outdated=catalog.stale_reads.counts(pair),
    )


def _terms(catalog: Catalog, pair: str) -> Iterator[AffectedTerm]:
    """The times for which it was live, oldest first."""
    moves = catalog.aliases.history(LIVE)[::-1]
    first = 0
    while first < len(moves):
        last = first
        name = SnapshotRef.parse(moves[first].target).pair
        while last + 1 < len(moves) and SnapshotRef.parse(moves[last + 1].target).pair == name:
            last += 1
        if name == pair:
            totals = catalog.served.between(LIVE, moves[first].epoch, moves[last].epoch)
            yield AffectedTerm(
                first_epoch=moves[first].epoch,
                last_epoch=moves[last].epoch,
                began=moves[first].at,
                ended=moves[last + 1].at if last + 1 < len(moves) else None,
                answers=totals.answers,
                searchers=totals.searchers,
                first_answer=_iso(totals.since),
                last_answer=_iso(totals.until),
            )
        first = last + 1


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds")
