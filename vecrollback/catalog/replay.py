"""Moves that a catalog lost, given back from their marks; see `witness`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from vecrollback.catalog.aliases import GENESIS, SCRATCH, apply_move, apply_states, chained_hash, end_canaries
from vecrollback.catalog.schema import alias, history, pair, snapshot
from vecrollback.catalog.tenures import Tenures
from vecrollback.records import LIVE, Move, MoveRequest, PairState, SnapshotRef


def replay(connection: sa.Connection, moves: Sequence[Move]) -> list[Move]:
    """Append lost moves to the history as they were, and let the aliases follow; the oldest first.

    Ends at the first that does not continue the chain, or whose snapshot the catalog has lost as well. Returns those
    that are in the history again.
    """
    last = connection.execute(sa.select(history).order_by(history.c.number.desc()).limit(1)).one_or_none()
    number, previous = (last.number, last.hash) if last else (0, GENESIS)
    replayed: list[Move] = []
    for move in moves:
        follows = (move.number, move.previous_hash) == (number + 1, previous) and chained_hash(
            asdict(move)
        ) == move.hash
        if not follows or not (move.alias.startswith(SCRATCH) or _present(connection, move.target)):
            break
        connection.execute(history.insert().values(**asdict(move)))
        if not move.alias.startswith(SCRATCH):
            _follow(connection, move)
        replayed.append(move)
        number, previous = move.number, move.hash
    return replayed


def outdo(connection: sa.Connection, lost: Sequence[Move], *, actor: str, reason: str, diverged: bool) -> list[Move]:
    """Move each alias of lost moves to an epoch that is greater than any that was seen, or searchers would wait for it.

    It goes where the last lost move went if that is still there. Where the catalog has gone on by moves of its own
    (`diverged`), it stays where those put it.
    """
    made = []
    for name in sorted({move.alias for move in lost if not move.alias.startswith(SCRATCH)}):
        newest = max((move for move in lost if move.alias == name), key=lambda move: move.number)
        row = connection.execute(sa.select(alias).where(alias.c.name == name)).one_or_none()
        target = None if diverged else _nearest(connection, newest.target)
        if target is None and row is not None:
            target = SnapshotRef(row.pair, row.snapshot)
        if target is None:
            continue
        states: dict[str, tuple[PairState, str]] = {}
        if name == LIVE:
            here = row.pair if row else None
            states = {here: ("standby", reason)} if here and here != target.pair else {}
            for move in lost if not diverged else ():
                if move.alias == LIVE and move.kind == "rollback" and move.source:
                    states[SnapshotRef.parse(move.source).pair] = ("quarantined", move.reason)
            states = {one: state for one, state in states.items() if _known(connection, one)}
            states[target.pair] = ("live", "")
        request = MoveRequest(
            reason,
            actor,
            expected_epoch=row.epoch if row else 0,
            alias=name,
            kind="set",
            target=target,
            states=states,
            above=max(move.epoch for move in lost if move.alias == name),
        )
        made.append(apply_move(connection, request))
    return made


def _follow(connection: sa.Connection, move: Move) -> None:
    """Let the alias, the pairs' states and the tenures be what they were after a move."""
    target = SnapshotRef.parse(move.target)
    row = connection.execute(sa.select(alias).where(alias.c.name == move.alias)).one_or_none()
    values = {"epoch": move.epoch, "pair": target.pair, "snapshot": target.number}
    tenures = Tenures(connection, move.alias)
    if row:
        connection.execute(alias.update().where(alias.c.name == move.alias).values(**values))
    else:
        connection.execute(alias.insert().values(name=move.alias, **values))
    head = None
    if move.kind == "restore":
        of = (snapshot.c.pair == target.pair, snapshot.c.number == target.number)
        head = tuple(connection.execute(sa.select(snapshot.c.watermark, snapshot.c.vectors_version).where(*of)).one())
    request = MoveRequest(
        move.reason, move.actor, alias=move.alias, kind=move.kind, states=_states(connection, move, target), head=head
    )
    apply_states(connection, request, target)
    tenures.note(target.pair, move.epoch, move.at, source=row.pair if row else None)
    if move.kind == "advance":
        connection.execute(pair.update().where(pair.c.name == target.pair).values(snapshot=target.number))
    else:
        end_canaries(connection, request, target)


def _states(connection: sa.Connection, move: Move, target: SnapshotRef) -> dict[str, tuple[PairState, str]]:
    """The states of pairs that a move of `live` sets; `switching` has set them the first time."""
    if move.alias != LIVE or move.kind in ("advance", "set"):
        return {}
    states: dict[str, tuple[PairState, str]] = {}
    if move.kind == "promote":
        states = dict.fromkeys(
            connection.scalars(sa.select(pair.c.name).where(pair.c.state == "standby")), ("ready", "")
        )
    source = SnapshotRef.parse(move.source).pair if move.source else None
    if source and source != target.pair and _known(connection, source):
        verb = {"promote": f"{target.pair} was promoted", "restore": f"{target} was restored"}.get(move.kind, "")
        states[source] = ("quarantined", move.reason) if move.kind == "rollback" else ("standby", f"live until {verb}")
    return states | {target.pair: ("live", "")}


def _known(connection: sa.Connection, name: str) -> bool:
    return connection.scalar(sa.select(pair.c.name).where(pair.c.name == name)) is not None


def _present(connection: sa.Connection, ref: str) -> bool:
    target = SnapshotRef.parse(ref)
    of = (snapshot.c.pair == target.pair, snapshot.c.number == target.number)
    return connection.scalar(sa.select(snapshot.c.number).where(*of)) is not None


def _nearest(connection: sa.Connection, ref: str) -> SnapshotRef | None:
    """The snapshot, else the one that its pair serves from, else None."""
    target = SnapshotRef.parse(ref)
    if _present(connection, ref):
        return target
    number = connection.scalar(sa.select(pair.c.snapshot).where(pair.c.name == target.pair))
    return SnapshotRef(target.pair, number) if number else None
