"""Who served when: for each alias and pair, the last unbroken time in which the alias pointed to the pair.

The history says it too, but a rollback must not take longer the more of it there is. It stays the truth: rows that do
not reach up to the alias's epoch, after a process of an older version moved it, are made anew from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace

import sqlalchemy as sa

from vecrollback.catalog.schema import alias as alias_table
from vecrollback.catalog.schema import history, tenure
from vecrollback.records import Move, SnapshotRef, Tenure

_CHUNK = 100
_PAGE = 2


class Tenures:
    """The tenures of one alias, inside a transaction."""

    def __init__(self, connection: sa.Connection, alias: str) -> None:
        self._connection, self._alias = connection, alias
        self._mine = tenure.c.alias == alias
        # One read says both who served last and whether the rows reach up to where the alias points.
        rows = connection.execute(_newest, {"alias": alias}).all()
        self._page = [(row.pair, Tenure(*row[1:4])) for row in rows if row.pair is not None]
        newest_epoch = self._page[0][1].last_epoch if self._page else None
        is_current = not rows or newest_epoch == rows[0].epoch
        self._anew = None if is_current else read_history(connection, alias)

    def of(self, pair: str) -> Tenure | None:
        """When this pair served last."""
        if self._anew is not None:
            return self._anew.get(pair)
        for name, one in self._page:
            if name == pair:
                return one
        row = self._connection.execute(_columns.where(self._mine, tenure.c.pair == pair)).one_or_none()
        return Tenure(*row[1:]) if row else None

    def newest(self) -> Iterator[tuple[str, Tenure]]:
        """Every pair that served, the most recent first. Rows are read as they are asked for: mostly two are."""
        if self._anew is not None:
            yield from sorted(self._anew.items(), key=lambda one: -one[1].last_epoch)
            return
        size, page = _PAGE, self._page
        while True:
            yield from page
            if len(page) < size:
                return
            size, older = size * 2, tenure.c.last_epoch < page[-1][1].last_epoch
            query = _columns.where(self._mine, older).order_by(tenure.c.last_epoch.desc()).limit(size)
            page = [(row.pair, Tenure(*row[1:])) for row in self._connection.execute(query)]

    def note(self, pair: str, epoch: int, at: str, *, source: str | None) -> None:
        """Note that the alias moved from the pair `source` to another. The caller has the only write transaction.

        What `of` and `newest` answer is of before: nothing is read again.
        """
        # The rows had fallen behind the history: whoever has the write transaction mends them.
        if self._anew is not None:
            self._connection.execute(tenure.delete().where(self._mine))
            rows = [{"alias": self._alias, "pair": name, **asdict(one)} for name, one in self._anew.items()]
            if rows:
                self._connection.execute(tenure.insert(), rows)
            self._anew = None
        values: dict[str, object] = {"last_epoch": epoch}
        if pair != source:
            values |= {"first_epoch": epoch, "began": at}
        update = tenure.update().where(self._mine, tenure.c.pair == pair).values(**values)
        if not self._connection.execute(update).rowcount:
            first = {"first_epoch": epoch, "last_epoch": epoch, "began": at}
            self._connection.execute(tenure.insert().values(alias=self._alias, pair=pair, **first))


_columns = sa.select(tenure.c.pair, tenure.c.first_epoch, tenure.c.last_epoch, tenure.c.began)
_newest = (
    _columns.add_columns(alias_table.c.epoch)
    .select_from(alias_table.outerjoin(tenure, tenure.c.alias == alias_table.c.name))
    .where(alias_table.c.name == sa.bindparam("alias"))
    .order_by(tenure.c.last_epoch.desc())
    .limit(_PAGE)
)


def read_history(connection: sa.Connection, alias: str) -> dict[str, Tenure]:
    """The tenures of an alias as its whole history tells them."""
    query = sa.select(history.c.epoch, history.c.target, history.c.at).where(history.c.alias == alias)
    return from_moves(tuple(row) for row in connection.execute(query.order_by(history.c.number)))


def from_moves(moves: Iterable[tuple[int, str, str]]) -> dict[str, Tenure]:
    """Pair -> tenure, from the moves of one alias, (epoch, target, at), the oldest first."""
    tenures: dict[str, Tenure] = {}
    serving = ""
    for epoch, target, at in moves:
        pair = SnapshotRef.parse(target).pair
        tenures[pair] = replace(tenures[pair], last_epoch=epoch) if pair == serving else Tenure(epoch, epoch, at)
        serving = pair
    return tenures


def tenure_that_ended(connection: sa.Connection, move: Move) -> Tenure:
    """How long the pair that a move left had served by then."""
    assert move.source is not None
    pair = SnapshotRef.parse(move.source).pair
    span = Tenures(connection, move.alias).of(pair)
    if span is None or span.first_epoch >= move.epoch:  # it served again since: only the history knows of then
        span = _walk_back(connection, move, pair)
    return replace(span, last_epoch=move.epoch - 1)


def _walk_back(connection: sa.Connection, move: Move, pair: str) -> Tenure:
    """Read the moves before this one, newest first, as far as they went to the pair."""
    first = Tenure(move.epoch - 1, move.epoch - 1, move.at)
    number, size = move.number, _CHUNK
    while True:
        query = sa.select(history).where(history.c.number < number).order_by(history.c.number.desc()).limit(size)
        rows = connection.execute(query).all()
        for row in rows:
            number = row.number
            if row.alias == move.alias:
                if SnapshotRef.parse(row.target).pair != pair:
                    return first
                first = Tenure(row.epoch, first.last_epoch, row.at)
        if len(rows) < size:
            return first


def all_tenures(connection: sa.Connection) -> Mapping[str, dict[str, Tenure]]:
    """Alias -> pair -> tenure, as the rows have them."""
    tenures: dict[str, dict[str, Tenure]] = {}
    for row in connection.execute(sa.select(tenure)):
        tenures.setdefault(row.alias, {})[row.pair] = Tenure(row.first_epoch, row.last_epoch, row.began)
    return tenures
