"""Pairs, their snapshots, the tags that keep snapshots, and which fingerprints were declared to be one model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict

import sqlalchemy as sa

from vecrollback.catalog.aliases import SCRATCH, apply_move, require_states
from vecrollback.catalog.corpus_log import record_files
from vecrollback.catalog.database import Database, now
from vecrollback.catalog.models import add_kept_model
from vecrollback.catalog.schema import (
    acceptance,
    alias,
    bridge,
    canary,
    cascade,
    equivalence,
    file,
    history,
    kept_model,
    making,
    model_answer,
    pair,
    report,
    server_words,
    snapshot,
    stale_read,
    tag,
    unembedded,
)
from vecrollback.errors import HeadMovedError, PairStateError, UnknownNameError, UsageError
from vecrollback.records import (
    CANDIDATE,
    LIVE,
    KeptModel,
    LivePair,
    MoveRequest,
    Pair,
    PairState,
    Snapshot,
    SnapshotRef,
)
from vecrollback.storage.local import reach

NAME_RULE = "letters, digits, dot, dash, underscore; at most 64"
_OF_A_PAIR = (
    snapshot,
    report,
    unembedded,
    acceptance,
    making,
    stale_read,
    kept_model,
    model_answer,
    server_words,
    cascade,
)
"""Tables whose rows go with their pair."""

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

    def serving(self, name: str) -> LivePair | None:
        """The pair that this alias points to and the number of the last move, at one moment; None for none."""
        sql = sa.select(pair, alias.c.epoch).join(alias, alias.c.pair == pair.c.name)
        with self._database.read() as connection:
            row = connection.execute(sql.where(alias.c.name == name)).one_or_none()
        return LivePair(**row._mapping) if row else None

    def get(self, name: str) -> Pair:
        row = self.find(name)
        if row is None:
            names = ", ".join(p.name for p in self.all())
            hint = f"pairs here: {names}" if names else "there is none yet: `vecrollback reembed MODEL --name v1`"
            raise UnknownNameError(f"pair {name!r} does not exist in this store", hint=hint)
        return row

    def add(
        self,
        new: Pair,
        files: Mapping[str, str],
        present: Callable[[], object] = list,
        model: KeptModel | None = None,
    ) -> None:
        """Register a pair, the files of its vectors table, and its model where the store keeps it.

        Raises PairStateError when the name is taken.

        `present`, here and below, raises unless the files to be named are in place; nothing is pruned while it looks.
        """
        with self._database.write() as connection:
            if connection.scalar(sa.select(pair.c.name).where(pair.c.name == new.name)):
                raise PairStateError(f"a pair {new.name!r} exists already", hint="choose another --name")
            _require_distinct(connection, new.name)
            prefix = f"{new.name}@"  # not by LIKE, to which the `_` in a name stands for any letter
            served = sa.func.substr(history.c.target, 1, len(prefix)) == prefix
            if connection.scalar(sa.select(history.c.number).where(served).limit(1)):
                raise PairStateError(
                    f"a pair {new.name!r} served before and was pruned: the history is about that one",
                    hint="choose another --name",
                )
            # Inside the write transaction, which a prune needs to set a file aside: none goes missing in between.
            present()
            connection.execute(pair.insert().values(**asdict(new)))
            record_files(self._database, connection, vectors_table(new.name), files)
            if model is not None:
                add_kept_model(self._database, connection, model)

    def require_distinct(self, name: str) -> None:
        """Raise PairStateError for a new pair's name that differs from another's in case alone, or is a tag's.

        Asked before anything is written: on some file systems both would be one folder.
        """
        with self._database.read() as connection:
            _require_distinct(connection, name)

    def advance(
        self, name: str, *, watermark: int, vectors_version: int, expected: int, files: Mapping[str, str] | None = None
    ) -> None:
        """Acknowledge that the pair reflects the log up to `watermark`, in vectors that are synced.

        Raises HeadMovedError when the vectors are not at version `expected`: the writer's lock was lost and another
        one wrote, or a restore moved the pair back.
        """
        with self._database.write(wakes=True) as connection:
            version = connection.scalar(sa.select(pair.c.vectors_version).where(pair.c.name == name))
            if version != expected:
                raise HeadMovedError(vectors_table(name), expected=expected, found=version)
            values = {"watermark": watermark, "vectors_version": vectors_version}
            connection.execute(pair.update().where(pair.c.name == name).values(**values))
            record_files(self._database, connection, vectors_table(name), files or {})
        reach("pair.advanced")

    def set_state(self, name: str, state: PairState, reason: str = "", *, expected: PairState | None = None) -> None:
        """Set a pair's state. `expected`: only if it has that one now, else raise QuarantinedError, PairStateError."""
        with self._database.write() as connection:
            if expected is not None:
                require_states(connection, {name: expected})
            connection.execute(pair.update().where(pair.c.name == name).values(state=state, state_reason=reason))

    def set_embedder(self, name: str, embedder: str) -> None:
        """Record another place from which the same model is opened."""
        with self._database.write() as connection:
            connection.execute(pair.update().where(pair.c.name == name).values(embedder=embedder))

    def add_snapshot(self, new: Snapshot, present: Callable[[], object] = list) -> None:
        """Make a written snapshot exist and be the one its pair serves from; the aliases on that pair move along.

        In one transaction: a process that died in between would leave an alias on files that no check looks at.
        Raises HeadMovedError when the pair is not where the snapshot is from: a restore moved it back while the index
        was built.
        """
        with self._database.write(wakes=True) as connection:
            present()
            row = connection.execute(sa.select(pair).where(pair.c.name == new.pair)).one()
            if (row.vectors_version, row.watermark) != (new.vectors_version, new.watermark):
                raise HeadMovedError(vectors_table(new.pair), expected=new.vectors_version, found=row.vectors_version)
            connection.execute(snapshot.insert().values(**asdict(new)))
            connection.execute(pair.update().where(pair.c.name == new.pair).values(snapshot=new.number))
            for row in connection.execute(sa.select(alias).where(alias.c.pair == new.pair)).all():
                advance = MoveRequest(
                    f"new snapshot of {new.pair}",
                    "vecrollback",
                    expected_epoch=row.epoch,
                    alias=row.name,
                    kind="advance",
                    target=SnapshotRef(new.pair, new.number),
                )
                apply_move(connection, advance)
        reach("snapshot.registered")

    def adopt(
        self,
        incoming: Snapshot,
        new: Pair | None = None,
        files: Mapping[str, str] | None = None,
        present: Callable[[], object] = list,
        model: KeptModel | None = None,
    ) -> None:
        """Make a snapshot that came from elsewhere exist, in one transaction with its pair when that is new.

        A pair that is here already goes on serving from the snapshot it has. `model`: of the pair, kept in the store.
        """
        with self._database.write() as connection:
            present()
            if new is not None:
                _require_distinct(connection, new.name)
                connection.execute(pair.insert().values(**asdict(new)))
                record_files(self._database, connection, vectors_table(new.name), files or {})
            connection.execute(snapshot.insert().values(**asdict(incoming)))
            if model is not None:
                add_kept_model(self._database, connection, model)
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
        with self._database.read() as connection:
            row = find_snapshot(connection, ref)
        if row is None:
            if "@" not in ref:
                self.get(ref)  # it says which pairs there are
            raise UnknownNameError(
                f"snapshot {ref!r} does not exist", hint="`vecrollback snapshot list` shows what there is"
            )
        return row

    def delete_snapshot(self, old: Snapshot) -> None:
        """Forget a snapshot that no alias, tag or pair head holds. Raises PairStateError naming the holder."""
        with self._database.write() as connection:
            if holder := _holder(connection, old):
                raise PairStateError(f"snapshot {old.ref} is held by {holder}", hint="move or delete that first")
            condition = (snapshot.c.pair == old.pair, snapshot.c.number == old.number)
            connection.execute(snapshot.delete().where(*condition))

    def retire(self, name: str, reason: str, *, actor: str = "") -> None:
        """Take a pair out of use. Raises PairStateError while it serves or is tried, or it is the way back."""
        with self._database.write() as connection:
            row = connection.execute(sa.select(pair.c.state).where(pair.c.name == name)).one()
            if row.state in ("live", "standby"):
                raise PairStateError(
                    f"pair {name!r} is {row.state}", hint="promote another one first; a rollback needs the standby"
                )
            _let_go_of_candidate(connection, name, actor)
            _refuse_held(connection, name, sa.select(alias.c.name).where(alias.c.pair == name), "alias")
            connection.execute(pair.update().where(pair.c.name == name).values(state="retired", state_reason=reason))

    def forget(self, name: str) -> None:
        """Drop a retired pair, its snapshots and its reports. Raises PairStateError while something holds one."""
        with self._database.write() as connection:
            state = connection.scalar(sa.select(pair.c.state).where(pair.c.name == name))
            if state != "retired":
                raise PairStateError(f"pair {name!r} is {state or 'gone'}, not retired")
            for table, word in ((alias, "alias"), (tag, "tag")):
                _refuse_held(connection, name, sa.select(table.c.name).where(table.c.pair == name), word)
            for table in _OF_A_PAIR:
                connection.execute(table.delete().where(table.c.pair == name))
            connection.execute(bridge.delete().where(sa.or_(bridge.c.source == name, bridge.c.target == name)))
            connection.execute(file.delete().where(file.c.owner == vectors_table(name)))
            connection.execute(pair.delete().where(pair.c.name == name))

    def tags(self) -> dict[str, tuple[str, int]]:
        """Tag -> (pair, snapshot)."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(tag).order_by(tag.c.name))
            return {row.name: (row.pair, row.snapshot) for row in rows}

    def set_tag(self, name: str, target: Snapshot) -> None:
        """Raises UsageError for a name that cannot be one, PairStateError for that of a pair, UnknownNameError."""
        if not valid_pair_name(name):
            raise UsageError(f"{name!r} is not a valid name for a tag", hint=NAME_RULE)
        values = {"pair": target.pair, "snapshot": target.number, "created_at": now()}
        statement = self._database.insert(tag).values(name=name, **values)
        with self._database.write() as connection:
            if taken := connection.scalar(sa.select(pair.c.name).where(sa.func.lower(pair.c.name) == name.lower())):
                raise PairStateError(
                    f"a pair is called {taken!r}, so no tag may be", hint="what is restored by that name is the pair"
                )
            if find_snapshot(connection, target.ref) is None:
                raise UnknownNameError(
                    f"snapshot {target.ref} was deleted meanwhile", hint="`vecrollback snapshot list` shows the others"
                )
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def delete_tag(self, name: str) -> None:
        with self._database.write() as connection:
            if not connection.execute(tag.delete().where(tag.c.name == name)).rowcount:
                raise UnknownNameError(
                    f"tag {name!r} does not exist", hint="`vecrollback snapshot list` shows the tags"
                )


def find_snapshot(connection: sa.Connection, ref: str) -> Snapshot | None:
    """Find `PAIR@N`, `PAIR` (the snapshot it serves from) or a tag, inside a transaction; None when there is none.

    A pair comes before a tag of its name, which earlier versions allowed.
    """
    try:
        target = SnapshotRef.parse(ref)
    except UsageError:
        tag_row = connection.execute(sa.select(tag.c.pair, tag.c.snapshot).where(tag.c.name == ref)).one_or_none()
        serves = sa.select(pair.c.name, pair.c.snapshot).where(pair.c.name == ref)
        pointer = connection.execute(serves).one_or_none() or tag_row
        if pointer is None:
            return None
        target = SnapshotRef(*pointer)
    query = sa.select(snapshot).where(snapshot.c.pair == target.pair, snapshot.c.number == target.number)
    row = connection.execute(query).one_or_none()
    return Snapshot(**row._mapping) if row else None


def _require_distinct(connection: sa.Connection, name: str) -> None:
    for table, word in ((pair, "pair"), (tag, "tag")):
        query = sa.select(table.c.name).where(sa.func.lower(table.c.name) == name.lower())
        if (other := connection.scalar(query)) is not None and (other != name or table is tag):
            raise PairStateError(
                f"a new pair cannot be called {name!r}: there is a {word} {other!r}",
                hint="choose another --name: names differ in more than case, whatever they name",
            )


def _let_go_of_candidate(connection: sa.Connection, name: str, actor: str) -> None:
    # `candidate` stays at the pair that was promoted or tried last, so that searchers keep it open.
    targets = {row.name: row for row in connection.execute(sa.select(alias))}
    candidate, live = targets.get(CANDIDATE), targets.get(LIVE)
    if candidate is None or live is None or candidate.pair != name:
        return
    if connection.scalar(sa.select(canary.c.number).where(canary.c.pair == name, canary.c.ended_at.is_(None))):
        raise PairStateError(f"pair {name!r} is tried by a canary", hint="`vecrollback canary stop` first")
    target = SnapshotRef(live.pair, live.snapshot)
    reason = f"{name} was retired"
    apply_move(connection, MoveRequest(reason, actor, expected_epoch=candidate.epoch, alias=CANDIDATE, target=target))


def _refuse_held(connection: sa.Connection, name: str, holders: sa.Select[tuple[str]], word: str) -> None:
    if holder := connection.scalar(holders):
        hint = (
            "a drill runs; try again when it has ended"
            if str(holder).startswith(SCRATCH)
            else f"move that {word} first"
        )
        raise PairStateError(f"pair {name!r} is held by {word} {holder!r}", hint=hint)


def _holder(connection: sa.Connection, old: Snapshot) -> str | None:
    for table, word in ((alias, "alias"), (tag, "tag")):
        query = sa.select(table.c.name).where(table.c.pair == old.pair, table.c.snapshot == old.number)
        if name := connection.scalar(query):
            return f"{word} {name!r}"
    query = sa.select(pair.c.name).where(pair.c.name == old.pair, pair.c.snapshot == old.number)
    if connection.scalar(query):
        return f"pair {old.pair!r}, which serves from it"
    newest = connection.scalar(sa.select(sa.func.max(snapshot.c.number)).where(snapshot.c.pair == old.pair))
    return "the next one, which would be given its number" if newest == old.number else None


class Equivalences:
    """Declared: two fingerprints are the same model behind different servers or runtimes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def declare(self, a: str, b: str, *, cosine: float, actor: str) -> None:
        """Record that the probes of `a` and `b` agree to at least `cosine`."""
        values = {"cosine": cosine, "actor": actor, "at": now()}
        # One row for a pair of fingerprints, whichever is named first.
        low, high = sorted((a, b))
        statement = self._database.insert(equivalence).values(fingerprint=low, other=high, **values)
        with self._database.write() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["fingerprint", "other"], set_=values))

    def of(self, fingerprint: str) -> frozenset[str]:
        """The fingerprint and every one declared equal to it, directly."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(equivalence.c.fingerprint, equivalence.c.other)).all()
        return frozenset({fingerprint}) | {b if a == fingerprint else a for a, b in rows if fingerprint in (a, b)}
