"""Aliases, the history of their moves, and the read that every query makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.database import Database, now
from vecrollback.catalog.databases.pointer import PointerReader
from vecrollback.catalog.evaluation import record_gates
from vecrollback.catalog.operations import end_approval
from vecrollback.catalog.schema import alias as alias_table
from vecrollback.catalog.schema import canary, history, pair, snapshot, tenure
from vecrollback.catalog.tenures import Tenures, all_tenures
from vecrollback.errors import (
    AliasMovedError,
    CatalogUnavailableError,
    PairStateError,
    QuarantinedError,
    UnknownNameError,
    UsageError,
)
from vecrollback.records import (
    CANDIDATE,
    LIVE,
    SWITCHES,
    AliasTarget,
    Move,
    MoveKind,
    MoveRequest,
    PairState,
    SnapshotRef,
    Tenure,
)
from vecrollback.storage.local import reach

GENESIS = "0" * 64
SCRATCH = "drill-"
"""How names of aliases begin that are forgotten after use; only their moves stay."""
_HASHED = [f.name for f in fields(Move) if f.name != "hash"]


@dataclass(frozen=True, slots=True)
class NativeAlias:
    """An alias at one moment: its epoch, the database of its pair or "", and the epoch that the name there followed."""

    epoch: int
    backend: str
    followed: int | None

    @property
    def behind(self) -> bool:
        """Whether the name in a database stands for another move than the last."""
        return (self.followed != self.epoch) if self.backend else self.followed is not None


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

    def move(self, request: MoveRequest) -> Move:
        """Move an alias: one compare-and-set, on disk when it returns, with everything that moves along.

        Args:
            request: Where to, and the epoch that the alias must have.

        Returns:
            The entry of the history.

        Raises:
            AliasMovedError: Somebody has moved the alias since the expected epoch; nothing was changed.
            QuarantinedError, PairStateError: A pair is not in the state any more that the request requires; nothing
                was changed.
            UnknownNameError: The target does not exist; nothing was changed.
            CatalogUnavailableError: The database cannot be written, also with the reserve of disk space given free.
        """
        reserve = self._database.reserve
        try:
            move = self._move(request)
        except CatalogUnavailableError:
            if reserve is None or not reserve.give():
                raise
            # The disk was full and has room now: the same move again, which changed nothing the first time.
            move = self._move(request)
        if reserve is not None:
            reserve.keep()
        return move

    def _move(self, request: MoveRequest) -> Move:
        with self._database.write(wakes=True) as connection:
            move = apply_move(connection, request)
            reach("switch.before_commit")
        reach("switch.after_commit")
        return move

    def native(self, name: str) -> NativeAlias | None:
        """How the name that databases have for an alias stands; None where the alias was never set.

        Args:
            name: Of the alias.

        Returns:
            Where it points, and what the name was moved to last.
        """
        query = sa.select(alias_table, pair.c.backend).join(pair, pair.c.name == alias_table.c.pair)
        with self._database.read() as connection:
            row = connection.execute(query.where(alias_table.c.name == name)).one_or_none()
        return NativeAlias(row.epoch, row.backend, row.native_epoch) if row else None

    def set_native(self, name: str, epoch: int | None) -> None:
        """Record what the name in databases was moved to.

        Args:
            name: Of the alias.
            epoch: Of the move that it followed; None when no database has the name any more.
        """
        with self._database.write() as connection:
            connection.execute(alias_table.update().where(alias_table.c.name == name).values(native_epoch=epoch))

    def drop(self, name: str) -> None:
        """Forget a scratch alias; its moves stay in the history.

        Args:
            name: Of the alias; it begins with `SCRATCH`.

        Raises:
            UsageError: It is another one, which something may follow.
        """
        if not name.startswith(SCRATCH):
            raise UsageError(f"alias {name!r} is not for rehearsals", hint=f"theirs begin with {SCRATCH!r}")
        with self._database.write() as connection:
            connection.execute(alias_table.delete().where(alias_table.c.name == name))
            connection.execute(tenure.delete().where(tenure.c.alias == name))

    def tenures(self) -> Mapping[str, Mapping[str, Tenure]]:
        """When each pair served last.

        Returns:
            Alias -> pair -> tenure.
        """
        with self._database.read() as connection:
            return all_tenures(connection)

    def history(
        self,
        alias: str | None = None,
        *,
        limit: int | None = None,
        kinds: Collection[MoveKind] = (),
        since: str = "",
    ) -> list[Move]:
        """Moves, for people to read: it takes as long as the history is, unless it is limited.

        Args:
            alias: Of this alias only.
            limit: At most so many.
            kinds: Of these kinds only; of all if there is none.
            since: None from before this time, written as `now` writes times.

        Returns:
            The moves, newest first.
        """
        query = sa.select(history).order_by(history.c.number.desc()).limit(limit)
        if alias is not None:
            query = query.where(history.c.alias == alias)
        if kinds:
            query = query.where(history.c.kind.in_(kinds))
        if since:
            query = query.where(history.c.at >= since)
        with self._database.read() as connection:
            return [Move(**row._mapping) for row in connection.execute(query)]

    def newest_move(self, alias: str | None = None, *, kinds: Collection[MoveKind] = ()) -> Move | None:
        """The last move.

        Args:
            alias: Of this alias only.
            kinds: Of these kinds only; of all if there is none.

        Returns:
            The move; None where there is none.
        """
        return next(iter(self.history(alias, limit=1, kinds=kinds)), None)

    def switched_since(self, alias: str, epoch: int) -> bool:
        """Whether somebody has moved an alias since it was at an epoch. A newer snapshot of its pair is no such move.

        Args:
            alias: Its name.
            epoch: When something was decided.

        Returns:
            Whether that decision is about another target than the alias has now.
        """
        with self._database.read() as connection:
            found = connection.scalar(sa.select(alias_table.c.epoch).where(alias_table.c.name == alias)) or 0
            return _switched(connection, alias, found=found, since=epoch)

    def was_rolled_back_from(self, alias: str, pair: str) -> bool:
        """Whether a rollback of the alias ever left a pair.

        Args:
            alias: Its name.
            pair: The pair's name.

        Returns:
            Whether the history has such a rollback.
        """
        prefix = f"{pair}@"  # not by LIKE, which in SQLite takes one case of a letter for the other
        left = sa.func.substr(history.c.source, 1, len(prefix)) == prefix
        query = sa.select(history.c.number).where(history.c.alias == alias, history.c.kind == "rollback", left).limit(1)
        with self._database.read() as connection:
            return connection.scalar(query) is not None

    def pointer_reader(self, alias: str) -> PointerReader:
        """The read that every query makes.

        Args:
            alias: The alias to follow.

        Returns:
            A reader with a connection of its own; close it.
        """
        return self._database.pointer_reader(alias)


def apply_move(connection: sa.Connection, request: MoveRequest) -> Move:
    """Move an alias inside a transaction. It raises what `Aliases.move` does."""
    target, expected = request.target, request.expected_epoch
    if target is None or expected is None:
        raise ValueError("a move needs its target and the epoch that it expects")
    # Read and written in one transaction that writes alone: nobody can move the alias in between.
    row = connection.execute(sa.select(alias_table).where(alias_table.c.name == request.alias)).one_or_none()
    epoch = row.epoch if row else 0
    if _switched(connection, request.alias, found=epoch, since=expected):
        raise AliasMovedError(request.alias, expected=expected, found=epoch)
    require_states(connection, request.requires)
    present = sa.select(snapshot.c.number).where(snapshot.c.pair == target.pair, snapshot.c.number == target.number)
    if connection.scalar(present) is None:
        raise UnknownNameError(
            f"snapshot {target} is not in the catalog",
            hint="`vecrollback snapshot list` shows those that are",
        )
    tenures = Tenures(connection, request.alias)
    next_epoch = max(epoch, request.above) + 1
    values = {"epoch": next_epoch, "pair": target.pair, "snapshot": target.number}
    if row:
        connection.execute(alias_table.update().where(alias_table.c.name == request.alias).values(**values))
    else:
        connection.execute(alias_table.insert().values(name=request.alias, **values))
    apply_states(connection, request, target)
    source = str(SnapshotRef(row.pair, row.snapshot)) if row else None
    move = _append(connection, request, target, source=source, epoch=next_epoch)
    tenures.note(target.pair, move.epoch, move.at, source=row.pair if row else None)
    if request.gated is not None:
        record_gates(connection, request.gated, actor=request.actor, move=move.number)
    if request.approval is not None:
        end_approval(connection, request.approval)
    if request.kind != "advance":
        end_canaries(connection, request, target)
    return move


def _switched(connection: sa.Connection, alias: str, *, found: int, since: int) -> bool:
    """Whether an alias at epoch `found` was moved by somebody's decision after epoch `since`."""
    if found <= since:
        return found != since
    mine = sa.select(history.c.epoch).where(history.c.alias == alias, history.c.kind.in_(SWITCHES))
    newest = connection.scalar(mine.order_by(history.c.number.desc()).limit(1))
    return newest is None or newest > since


def require_states(connection: sa.Connection, states: Mapping[str, PairState]) -> None:
    """Raise QuarantinedError or PairStateError unless each pair is in the state that somebody decided on."""
    for name, state in states.items():
        row = connection.execute(sa.select(pair.c.state, pair.c.state_reason).where(pair.c.name == name)).one_or_none()
        if row is not None and row.state == "quarantined" != state:
            raise QuarantinedError(
                f"pair {name!r} was rolled back from meanwhile: {row.state_reason}",
                hint="build a better one; or promote it again with --override and a --reason",
            )
        if row is None or row.state != state:
            raise PairStateError(
                f"pair {name!r} was {state} when this was decided, and is {row.state if row else 'gone'} now",
                hint="`vecrollback status` shows how it stands; then decide again",
            )


def end_canary(connection: sa.Connection, alias: str, *, reason: str, actor: str, unless: str = "") -> None:
    """End what runs for an alias, inside a transaction; but not a canary of the pair `unless`."""
    condition = sa.and_(canary.c.alias == alias, canary.c.ended_at.is_(None), canary.c.pair != unless)
    values = {"ended_at": now(), "ended_by": actor, "end_reason": reason}
    if connection.execute(canary.update().where(condition).values(**values)).rowcount:
        connection.execute(alias_table.update().where(alias_table.c.name == alias).values(trial=None))


def end_canaries(connection: sa.Connection, request: MoveRequest, target: SnapshotRef) -> None:
    """A canary ends with the pair it is measured against, and when `candidate` becomes another one than the tried."""
    why = {"alias": request.alias, "reason": f"{request.kind} of {target.pair}", "actor": request.actor}
    if request.alias == CANDIDATE:
        end_canary(connection, **why | {"alias": LIVE}, unless=target.pair)
    else:
        end_canary(connection, **why)


def apply_states(connection: sa.Connection, request: MoveRequest, target: SnapshotRef) -> None:
    for name, (state, reason) in request.states.items():
        connection.execute(pair.update().where(pair.c.name == name).values(state=state, state_reason=reason))
    if request.head is not None:
        watermark, version = request.head
        values = {"snapshot": target.number, "watermark": watermark, "vectors_version": version}
        connection.execute(pair.update().where(pair.c.name == target.pair).values(**values))


def _append(
    connection: sa.Connection, request: MoveRequest, target: SnapshotRef, *, source: str | None, epoch: int
) -> Move:
    last = connection.execute(sa.select(history).order_by(history.c.number.desc()).limit(1)).one_or_none()
    entry: dict[str, Any] = {
        "number": (last.number if last else 0) + 1,
        "alias": request.alias,
        "epoch": epoch,
        "kind": request.kind,
        "source": source,
        "target": str(target),
        "reason": request.reason,
        "actor": request.actor,
        "at": now(),
        "previous_hash": last.hash if last else GENESIS,
    }
    # Over all other fields and the hash before: an entry changed later breaks the chain.
    entry["hash"] = chained_hash(entry)
    connection.execute(history.insert().values(**entry))
    return Move(**entry)


def broken_links(moves: Sequence[Move]) -> list[int]:
    """Places, from 1, at which the chain of a whole history breaks; the oldest move first."""
    previous, broken = GENESIS, []
    for number, move in enumerate(moves, start=1):
        # Number, link and own hash: so a removed, a reordered and a changed entry are each seen.
        if move.number != number or move.previous_hash != previous or chained_hash(asdict(move)) != move.hash:
            broken.append(number)
        previous = move.hash
    return broken


def chained_hash(entry: Mapping[str, object]) -> str:
    """SHA-256 over an entry's fields and the hash of the entry before it."""
    return hashlib.sha256(json.dumps([entry[name] for name in _HASHED]).encode()).hexdigest()
