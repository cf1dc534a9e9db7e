"""Pairs, their snapshots, and the tags that keep snapshots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict

import sqlalchemy as sa

from vecrollback.catalog.aliases import MoveOrder, apply_move
from vecrollback.catalog.database import Database, now
from vecrollback.catalog.files import record_files
from vecrollback.catalog.schema import alias, pair, snapshot, tag
from vecrollback.errors import HeadMovedError, PairStateError, UnknownNameError
from vecrollback.faults import reach
from vecrollback.records import Pair, PairState, Snapshot

NAME_RULE = "letters, digits, dot, dash, underscore; at most 64"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def vectors_table(pair_name: str) -> str:
    """Name of the table that holds a pair's vectors, and owner of its files."""
    return f"vectors-{pair_name}"


def valid_pair_name(name: str) -> bool:
    """Whether a pair may be called so: it becomes part of a path and of `PAIR@N`."""
    return _NAME.fullmatch(name) is not None


class Pairs:
    """Rows of pairs and snapshots. A snapshot row is the moment from which a snapshot exists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Pair]:
        """Every pair, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(pair).order_by(pair.c.created_at, pair.c.name))
            return [Pair(**row._mapping) for row in rows]

    def find(self, name: str) -> Pair | None:
        with self._database.read() as connection:
            row = connection.execute(sa.select(pair).where(pair.c.name == name)).one_or_none()
        return Pair(**row._mapping) if row else None

    def get(self, name: str) -> Pair:
        found = self.find(name)
        if found is None:
            known = ", ".join(p.name for p in self.all()) or "there is none yet"
            raise UnknownNameError(f"no pair {name!r} in this store", hint=f"pairs here: {known}")
        return found

    def add(self, new: Pair, files: Mapping[str, str]) -> None:
        """Register a pair and the files of its vectors table. Raises PairStateError when the name is taken."""
        with self._database.write() as connection:
            if connection.scalar(sa.select(pair.c.name).where(pair.c.name == new.name)):
                raise PairStateError(f"a pair {new.name!r} exists already", hint="choose another --name")
            connection.execute(pair.insert().values(**asdict(new)))
            record_files(self._database, connection, vectors_table(new.name), files)

    def advance(
        self, name: str, *, watermark: int, vectors_version: int, expected: int, files: Mapping[str, str] | None = None
    ) -> None:
        """Acknowledge that the pair reflects the log up to `watermark`, in vectors that are synced.

        Raises HeadMovedError when the vectors are not at version `expected`: the writer's lock was lost and another
        one wrote, or a restore moved the pair back.
        """
        with self._database.write(wakes=True) as connection:
            found = connection.scalar(sa.select(pair.c.vectors_version).where(pair.c.name == name))
            if found != expected:
                raise HeadMovedError(vectors_table(name), expected=expected, found=found)
            values = {"watermark": watermark, "vectors_version": vectors_version}
            connection.execute(pair.update().where(pair.c.name == name).values(**values))
            record_files(self._database, connection, vectors_table(name), files or {})
        reach("pair.advanced")

    def set_state(self, name: str, state: PairState, reason: str = "") -> None:
        with self._database.write() as connection:
            connection.execute(pair.update().where(pair.c.name == name).values(state=state, state_reason=reason))

    def set_embedder(self, name: str, embedder: str) -> None:
        """Record another place from which the same model is opened."""
        with self._database.write() as connection:
            connection.execute(pair.update().where(pair.c.name == name).values(embedder=embedder))

    def add_snapshot(self, new: Snapshot) -> None:
        """Make a written snapshot exist and be the one its pair serves from; the aliases on that pair move along.

        In one transaction: a process that died in between would leave an alias on files that no check looks at.
        """
        with self._database.write(wakes=True) as connection:
            connection.execute(snapshot.insert().values(**asdict(new)))
            connection.execute(pair.update().where(pair.c.name == new.pair).values(snapshot=new.number))
            for row in connection.execute(sa.select(alias).where(alias.c.pair == new.pair)).all():
                why = f"new snapshot of {new.pair}"
                apply_move(
                    connection, MoveOrder(row.name, row.epoch, new.pair, new.number, "advance", why, "vecrollback")
                )
        reach("snapshot.registered")

    def adopt(self, taken: Snapshot, new: Pair | None = None, files: Mapping[str, str] | None = None) -> None:
        """Make a snapshot that came from elsewhere exist, in one transaction with its pair when that is new.

        A pair that is here already goes on serving from the snapshot it has.
        """
        with self._database.write() as connection:
            if new is not None:
                connection.execute(pair.insert().values(**asdict(new)))
                record_files(self._database, connection, vectors_table(new.name), files or {})
            connection.execute(snapshot.insert().values(**asdict(taken)))
            reach("bundle.registering")
        reach("bundle.registered")

    def snapshots(self, name: str | None = None) -> list[Snapshot]:
        """Snapshots of one pair or of all, oldest first."""
        query = sa.select(snapshot).order_by(snapshot.c.pair, snapshot.c.number)
        if name is not None:
            query = query.where(snapshot.c.pair == name)
        with self._database.read() as connection:
            return [Snapshot(**row._mapping) for row in connection.execute(query)]

    def find_snapshot(self, ref: str) -> Snapshot:
        """The snapshot `PAIR@N`, `PAIR` (the one it serves from) or a tag's. Raises UnknownNameError."""
        name, _, number = ref.rpartition("@")
        wanted = (name, int(number)) if name and number.isdigit() else self._resolve(ref)
        found = next((s for s in self.snapshots(wanted[0]) if s.number == wanted[1]), None)
        if found is None:
            raise UnknownNameError(f"no snapshot {ref!r}", hint="`vecrollback snapshot list` shows what there is")
        return found

    def _resolve(self, ref: str) -> tuple[str, int]:
        if tagged := self.tags().get(ref):
            return tagged
        found = self.get(ref)
        return found.name, found.snapshot

    def delete_snapshot(self, old: Snapshot) -> None:
        """Forget a snapshot that no alias, tag or pair head holds. Raises PairStateError naming the holder."""
        with self._database.write() as connection:
            if holder := _holder(connection, old):
                raise PairStateError(f"snapshot {old.ref} is held by {holder}", hint="move or delete that first")
            condition = (snapshot.c.pair == old.pair, snapshot.c.number == old.number)
            connection.execute(snapshot.delete().where(*condition))

    def tags(self) -> dict[str, tuple[str, int]]:
        """Tag -> (pair, snapshot)."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(tag).order_by(tag.c.name))
            return {row.name: (row.pair, row.snapshot) for row in rows}

    def set_tag(self, name: str, target: Snapshot) -> None:
        values = {"pair": target.pair, "snapshot": target.number, "created_at": now()}
        statement = self._database.insert(tag).values(name=name, **values)
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def delete_tag(self, name: str) -> None:
        with self._database.write() as connection:
            if not connection.execute(tag.delete().where(tag.c.name == name)).rowcount:
                raise UnknownNameError(f"no tag {name!r}", hint="`vecrollback snapshot list` shows the tags")


def _holder(connection: sa.Connection, held: Snapshot) -> str | None:
    for table, word in ((alias, "alias"), (tag, "tag")):
        query = sa.select(table.c.name).where(table.c.pair == held.pair, table.c.snapshot == held.number)
        if name := connection.scalar(query):
            return f"{word} {name!r}"
    query = sa.select(pair.c.name).where(pair.c.name == held.pair, pair.c.snapshot == held.number)
    return f"pair {held.pair!r}, which serves from it" if connection.scalar(query) else None
