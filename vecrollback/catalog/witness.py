"""A second witness of how far the catalog had come: marks beside the store's tables, and the memory of this process.

A database can go back in time without knowing it: an older file is put back, a standby without the last transactions is
promoted. Then its history ends early, tombstones are missing, and all of it looks sound. So each acknowledged move and
each acknowledged change of the log leaves a mark where the files are. A catalog that lacks what a mark names is refused
for writes until somebody mends it (`vecrollback reconcile`).

A mark is a file that is written once, after the commit that it is about: a catalog may be ahead of the marks, by what a
process did that died in between, and never behind them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from vecrollback.catalog.schema import corpus, history
from vecrollback.errors import StorageUnavailableError, TimeWentBackError
from vecrollback.records import CatalogStanding, Move, Setback
from vecrollback.storage import FileStore, LocalFileStore
from vecrollback.storage.forks import FollowsForks, follow_forks
from vecrollback.storage.local import give_to_owner

_log = logging.getLogger(__name__)
FOLDER = "witness"
_SET_ASIDE = "witness-set-aside"
_NAME = re.compile(r"move-\d+-\w+|log-\d+-\d+|accepted-\d+-\w+")
_KEPT_MOVES = 64
"""Moves that can be given back word for word. Listing them is part of each write, so there is an end to it."""
_REMOTE_SECONDS = 60.0
"""How long a listing of object storage counts: each costs a request, and what this process saw it knows anyway."""
_LAST_MARKS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class News:
    """What a transaction added: moves, and where the catalog stands with them."""

    moves: tuple[Move, ...]
    present: CatalogStanding


@dataclass(frozen=True, slots=True)
class _Marks:
    """Names of the marks that lie there. `moves`: oldest first; `log`: (head, version) of the newest."""

    moves: tuple[str, ...] = ()
    log: tuple[int, int] = (0, 0)
    accepted: frozenset[str] = frozenset()

    @property
    def newest(self) -> tuple[int, str]:
        """Number and hash of the last move that was seen."""
        return (_number_in(self.moves[-1]), _hash_in(self.moves[-1])) if self.moves else (0, "")


class TimeWitness(FollowsForks):
    """Compares the catalog with what was seen of it, and remembers what is acknowledged. Safe to use from threads."""

    def __init__(self, file_store: FileStore) -> None:
        self._files, self._attic = file_store.inside(FOLDER), file_store.inside(_SET_ASIDE)
        self._is_local = isinstance(file_store, LocalFileStore)
        self._lock = threading.Lock()
        self._memory, self._accepted = CatalogStanding(0, "", 0, 0), frozenset[str]()
        self._marks, self._listed_at = _Marks(), -_REMOTE_SECONDS
        self._overruled = 0
        self._writing: list[threading.Thread] = []
        follow_forks(self)

    def forked(self) -> None:
        """The child has no threads, and a lock of its own."""
        self._lock, self._writing = threading.Lock(), []

    def look(self) -> None:
        """Look which marks lie there, if the last look is long ago. What cannot be listed counts as not there.

        On object storage nothing else looks: a rollback waits for no storage.
        """
        if self._is_local or time.monotonic() - self._listed_at > _REMOTE_SECONDS:
            self._listed_at = time.monotonic()
            with contextlib.suppress(OSError, StorageUnavailableError):
                self._marks = self._list()

    # -- comparing ----------------------------------------------------------------------------------------------------

    def setback(self, connection: sa.Connection) -> Setback | None:
        """What the catalog lacks of what was seen; None when it lacks nothing. One listing and one small query."""
        # The marks first: what is committed after they were read is in the catalog all the more.
        seen = self._seen()
        present, hash_then = _read_moment(connection, at=seen.number)
        lacks_moves = bool(seen.number) and hash_then != seen.hash
        if lacks_moves or (present.head, present.version) < (seen.head, seen.version):
            return Setback(seen, present, diverged=lacks_moves and present.number >= seen.number)
        with self._lock:
            if present.number >= self._memory.number:
                self._memory = present
        return None

    def require_present(self, connection: sa.Connection) -> None:
        """Raise TimeWentBackError when the catalog lacks what was seen, unless that is what is being mended."""
        if not self._overruled and (setback := self.setback(connection)) is not None:
            raise TimeWentBackError(str(setback))

    @contextmanager
    def overruled(self) -> Iterator[None]:
        """Let writes through although the catalog lacks something: they are what mends it."""
        self._overruled += 1
        try:
            yield
        finally:
            self._overruled -= 1

    # -- remembering --------------------------------------------------------------------------------------------------

    def news(self, connection: sa.Connection) -> News:
        """What a transaction that is about to be committed adds to what this process knows."""
        with self._lock:
            known = self._memory.number
        query = sa.select(history).where(history.c.number > known).order_by(history.c.number.desc()).limit(_KEPT_MOVES)
        moves = [Move(**row._mapping) for row in connection.execute(query)]
        return News(tuple(reversed(moves)), _read_moment(connection)[0])

    def mark(self, news: News) -> None:
        """Remember what is committed now. What cannot be written is only not witnessed: the commit stands."""
        with self._lock:
            before, self._memory = self._memory, max(self._memory, news.present, key=lambda one: one.number)
        marks = {_move_name(move): _content(move) for move in news.moves}
        if (news.present.head, news.present.version) != (before.head, before.version):
            marks[_log_name(news.present)] = b""
        if not marks:
            return
        if self._is_local:
            self._write(marks, news.present)
            return
        # A storage that is away must not hold up a rollback, which is done by now.
        thread = threading.Thread(
            target=self._write, args=(marks, news.present), name="vecrollback-witness", daemon=True
        )
        self._writing = [one for one in self._writing if one.is_alive()] + [thread]
        thread.start()

    def _write(self, marks: dict[str, bytes], present: CatalogStanding) -> None:
        try:
            for name, content in marks.items():
                self._create(name, content)
            names = self._names()
            obsolete = list(_marks_of(names).moves[:-_KEPT_MOVES])
            log = (name for name in names if name.startswith("log-"))
            obsolete += [name for name in log if _numbers(name) < (present.head, present.version)]
            for name in obsolete:
                self._files.remove(name)
        except (OSError, StorageUnavailableError) as error:
            _log.warning("what is acknowledged now has no second witness: %s", error)

    def _create(self, name: str, content: bytes) -> None:
        if content or not isinstance(self._files, LocalFileStore):
            self._files.create(name, content)
            return
        # An empty file says all by its name. It is not synced: writes come often, and a power loss that takes it leaves
        # what it is about.
        path = self._files.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        give_to_owner(path)

    def close(self) -> None:
        """Wait a moment for marks that are being written."""
        for thread in self._writing:
            thread.join(_LAST_MARKS_SECONDS)

    # -- mending ------------------------------------------------------------------------------------------------------

    def lost_moves(self, connection: sa.Connection) -> list[Move]:
        """Moves that were seen and that the catalog lacks, the oldest first: those whose marks still lie there."""
        lost = []
        for name in self._list().moves:
            if _read_moment(connection, at=_number_in(name))[1] != _hash_in(name):
                with contextlib.suppress(OSError, ValueError, TypeError):  # a mark that cannot be read names no move
                    lost.append(Move(**json.loads(self._files.read(name))))
        return lost

    def accept(self, connection: sa.Connection) -> None:
        """Take the catalog as it is now for the truth, here and in every other process.

        Marks that say otherwise are set aside, as evidence. Raises StorageUnavailableError, OSError.
        """
        present = _read_moment(connection)[0]
        moves = self._list().moves
        for name in (one for one in moves if _read_moment(connection, at=_number_in(one))[1] != _hash_in(one)):
            self._attic.create(name, self._files.read(name))
            self._files.remove(name)
        log = [name for name in self._names() if name.startswith("log-")]
        for name in log:
            if _numbers(name) > (present.head, present.version):
                self._files.remove(name)
        newest = connection.execute(sa.select(history).where(history.c.number == present.number)).one_or_none()
        if newest is not None:
            move = Move(**newest._mapping)
            self._files.create(_move_name(move), _content(move))
        self._files.create(_log_name(present), b"")
        self._files.create(f"accepted-{present.number:012d}-{present.hash or 'none'}", b"")
        self._marks = self._list()
        with self._lock:
            self._memory = present

    # -- inside -------------------------------------------------------------------------------------------------------

    def _seen(self) -> CatalogStanding:
        """The furthest that the marks and this process know of."""
        if self._is_local:
            self.look()
        marks = self._marks
        with self._lock:
            if marks.accepted - self._accepted:  # somebody mended the catalog: what was seen before counts no more
                self._memory, self._accepted = CatalogStanding(0, "", 0, 0), marks.accepted
            memory = self._memory
        number, digest = max((memory.number, memory.hash), marks.newest, key=lambda one: one[0])
        return CatalogStanding(number, digest, *max((memory.head, memory.version), marks.log))

    def _names(self) -> list[str]:
        """Names of the marks; a file that somebody else put there is none, and must not stop a rollback."""
        return [name for name in self._files.names("") if _NAME.fullmatch(name)]

    def _list(self) -> _Marks:
        return _marks_of(self._names())


def _marks_of(names: list[str]) -> _Marks:
    moves, log, accepted = [], (0, 0), set()
    for name in names:
        if name.startswith("move-"):
            moves.append(name)
        elif name.startswith("log-"):
            log = max(log, _numbers(name))
        elif name.startswith("accepted-"):
            accepted.add(name)
    return _Marks(tuple(sorted(moves)), log, frozenset(accepted))


def _moment_query() -> sa.Select[Any]:
    newest = sa.select(history.c.number, history.c.hash).order_by(history.c.number.desc()).limit(1).subquery()
    then = sa.select(history.c.hash).where(history.c.number == sa.bindparam("at")).scalar_subquery()
    query = sa.select(newest.c.number, newest.c.hash, corpus.c.head, corpus.c.version, then)
    return query.select_from(corpus.outerjoin(newest, sa.true()))


_MOMENT = _moment_query()  # made once: every write asks it, and to put it together takes longer than the answer


def _read_moment(connection: sa.Connection, *, at: int = 0) -> tuple[CatalogStanding, str | None]:
    """Where the catalog stands, and the hash of its move of number `at`."""
    row = connection.execute(_MOMENT, {"at": at}).one()
    return CatalogStanding(row[0] or 0, row[1] or "", row[2], row[3]), row[4]


def _move_name(move: Move) -> str:
    return f"move-{move.number:012d}-{move.hash}"


def _content(move: Move) -> bytes:
    return json.dumps(asdict(move)).encode()


def _hash_in(name: str) -> str:
    return name.rpartition("-")[2]


def _number_in(name: str) -> int:
    return int(name.split("-")[1])


def _log_name(present: CatalogStanding) -> str:
    return f"log-{present.head:020d}-{present.version:020d}"


def _numbers(name: str) -> tuple[int, int]:
    _, head, version = name.split("-")
    return int(head), int(version)
