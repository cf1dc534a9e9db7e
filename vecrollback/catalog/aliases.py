"""Aliases, the history of their moves, and the read that every query makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.canaries import end_canary
from vecrollback.catalog.database import Database, now
from vecrollback.catalog.databases.pointer import PointerReader
from vecrollback.catalog.evaluation import record_gates
from vecrollback.catalog.schema import alias as alias_table
from vecrollback.catalog.schema import history, pair, snapshot
from vecrollback.errors import AliasMovedError, CatalogUnavailableError, UnknownNameError, UsageError
from vecrollback.records import CANDIDATE, LIVE, AliasTarget, GateVerdict, Move, MoveKind, PairState
from vecrollback.storage.local import reach

GENESIS = "0" * 64
SCRATCH = "drill-"
"""How names of aliases begin that are forgotten after use; only their moves stay."""
_HASHED = [f.name for f in fields(Move) if f.name != "hash"]


@dataclass(frozen=True, slots=True)
class MoveOrder:
    """A pointer move and what it requires of the present.

    `states` are the pairs whose state changes with the move; `head`, for an exact restore, is the
    (watermark, vectors version) that the target pair falls back to; `gated` is what a promote had to pass.
    """

    alias: str
    expected_epoch: int
    pair: str
    snapshot: int
    kind: MoveKind
    reason: str
    actor: str
    states: Mapping[str, tuple[PairState, str]] = field(default_factory=dict)
    head: tuple[int, int] | None = None
    gated: GateVerdict | None = None


class Aliases:
    """Pointer moves are compare-and-set, in one transaction with everything that must move along."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[str, AliasTarget]:
        """Where every alias points, by its name.

        Returns:
            Name -> target, in the order of the names.
        """
        with self._database.read() as connection:
            rows = connection.execute(sa.select(alias_table).order_by(alias_table.c.name))
            return {row.name: AliasTarget(row.pair, row.snapshot, row.epoch) for row in rows}

    def get(self, name: str) -> AliasTarget | None:
        """Where one alias points.

        Args:
            name: Of the alias, `live` for one.

        Returns:
            Its target; None when it was never set.
        """
        with self._database.read() as connection:
            row = connection.execute(sa.select(alias_table).where(alias_table.c.name == name)).one_or_none()
        return AliasTarget(row.pair, row.snapshot, row.epoch) if row else None

    def move(self, order: MoveOrder) -> Move:
        """Move an alias. Raises AliasMovedError when its epoch is not the expected one."""
        reserve = self._database.reserve
        try:
            move = self._moved(order)
        except CatalogUnavailableError:
            if reserve is None or not reserve.give():
                raise
            move = self._moved(order)
        if reserve is not None:
            reserve.keep()
        return move

    def _moved(self, order: MoveOrder) -> Move:
        with self._database.write(wakes=True) as connection:
            move = apply_move(connection, order)
            reach("switch.before_commit")
        reach("switch.after_commit")
        return move

    def drop(self, name: str) -> None:
        """Forget a scratch alias; its moves stay in the history. Raises UsageError for any other."""
        if not name.startswith(SCRATCH):
            raise UsageError(f"alias {name!r} is not for rehearsals", hint=f"theirs begin with {SCRATCH!r}")
        with self._database.write() as connection:
            connection.execute(alias_table.delete().where(alias_table.c.name == name))

    def history(self, alias: str | None = None, *, limit: int | None = None) -> list[Move]:
        """Moves, newest first."""
        query = sa.select(history).order_by(history.c.number.desc()).limit(limit)
        if alias is not None:
            query = query.where(history.c.alias == alias)
        with self._database.read() as connection:
            return [Move(**row._mapping) for row in connection.execute(query)]

    def pointer_reader(self, alias: str) -> PointerReader:
        return self._database.pointer_reader(alias)


def apply_move(connection: sa.Connection, order: MoveOrder) -> Move:
    """Move an alias inside a transaction. Raises AliasMovedError, UnknownNameError."""
    row = connection.execute(sa.select(alias_table).where(alias_table.c.name == order.alias)).one_or_none()
    found = row.epoch if row else 0
    if found != order.expected_epoch:
        raise AliasMovedError(order.alias, expected=order.expected_epoch, found=found)
    present = sa.select(snapshot.c.number).where(snapshot.c.pair == order.pair, snapshot.c.number == order.snapshot)
    if connection.scalar(present) is None:
        raise UnknownNameError(
            f"snapshot {order.pair}@{order.snapshot} is not in the catalog",
            hint="`vecrollback snapshot list` shows those that are",
        )
    values = {"epoch": found + 1, "pair": order.pair, "snapshot": order.snapshot}
    if row:
        connection.execute(alias_table.update().where(alias_table.c.name == order.alias).values(**values))
    else:
        connection.execute(alias_table.insert().values(name=order.alias, **values))
    _apply_states(connection, order)
    move = _append(connection, order, source=f"{row.pair}@{row.snapshot}" if row else None, epoch=found + 1)
    if order.gated is not None:
        record_gates(connection, order.gated, actor=order.actor, move=move.number)
    if order.kind != "advance":
        _end_canary(connection, order)
    return move


def _end_canary(connection: sa.Connection, order: MoveOrder) -> None:
    """A canary ends with the pair it is measured against, and when `candidate` becomes another one than the tried."""
    why = {"alias": order.alias, "reason": f"{order.kind} of {order.pair}", "actor": order.actor}
    if order.alias == CANDIDATE:
        end_canary(connection, **why | {"alias": LIVE}, unless=order.pair)
    else:
        end_canary(connection, **why)


def _apply_states(connection: sa.Connection, order: MoveOrder) -> None:
    for name, (state, reason) in order.states.items():
        connection.execute(pair.update().where(pair.c.name == name).values(state=state, state_reason=reason))
    if order.head is not None:
        watermark, version = order.head
        values = {"snapshot": order.snapshot, "watermark": watermark, "vectors_version": version}
        connection.execute(pair.update().where(pair.c.name == order.pair).values(**values))


def _append(connection: sa.Connection, order: MoveOrder, *, source: str | None, epoch: int) -> Move:
    last = connection.execute(sa.select(history).order_by(history.c.number.desc()).limit(1)).one_or_none()
    entry: dict[str, Any] = {
        "number": (last.number if last else 0) + 1,
        "alias": order.alias,
        "epoch": epoch,
        "kind": order.kind,
        "source": source,
        "target": f"{order.pair}@{order.snapshot}",
        "reason": order.reason,
        "actor": order.actor,
        "at": now(),
        "previous_hash": last.hash if last else GENESIS,
    }
    entry["hash"] = chained_hash(entry)
    connection.execute(history.insert().values(**entry))
    return Move(**entry)


def chained_hash(entry: Mapping[str, object]) -> str:
    """SHA-256 over an entry's fields and the hash of the entry before it."""
    return hashlib.sha256(json.dumps([entry[name] for name in _HASHED]).encode()).hexdigest()
