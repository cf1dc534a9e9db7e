"""What a fork leaves to its child: connections that belong to the parent, locks of threads that are not there.

`os.fork` copies one thread and all memory. So whoever holds a lock, a thread or a connection follows forks: before one
it may bring itself to rest, after it the child lets go of what it came with and opens its own when it is next used.
What came from the parent is never closed in the child: closing speaks to the server, or writes to the file, in the
parent's name.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from vecrollback.errors import ForkedError

_PATIENCE_SECONDS, _IMPORT_SECONDS = 5.0, 60.0
_PAUSE_SECONDS = 0.001

P = ParamSpec("P")
T = TypeVar("T")


class Forkable(Protocol):
    """Something that a forked process must not use as it came."""

    def before_fork(self) -> None:
        """In the parent: come to rest. One of the two others follows at once, in the parent and in the child."""

    def after_fork(self) -> None:
        """In the parent: go on."""

    def forked(self) -> None:
        """In the child, which has one thread: let go of the parent's, by `inherit`. Must touch only itself."""


class FollowsForks:
    """A `Forkable` that has nothing to do in the parent."""

    def before_fork(self) -> None:
        """Nothing to bring to rest."""

    def after_fork(self) -> None:
        """Nothing was brought to rest."""


class _Gate:
    """Work that no fork may cut in two: a fork waits a little until nobody is inside, and nobody enters meanwhile.

    When it has waited long enough it goes on, and the child is refused here: what it was copied with is half done.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside, self._shut, self._torn = 0, False, False
        self._tables_used = self._tables_inherited = False
        self._mine = threading.local()

    @contextmanager
    def hold_off_forks(self) -> Iterator[None]:
        if self._torn:
            raise ForkedError(
                "the store cannot be used: this process was forked in the middle of a transaction or an import",
                hint="fork while other threads rest, or start processes by 'spawn' or 'forkserver'",
            )
        if getattr(self._mine, "depth", 0):
            yield  # whoever is inside is waited for, however deep he goes
            return
        with self._changed:
            while self._shut:
                self._changed.wait()
            self._inside += 1
        self._mine.depth = 1
        try:
            yield
        finally:
            self._mine.depth = 0
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def use_tables(self) -> None:
        if self._tables_inherited:
            raise ForkedError(
                "the store's documents and vectors cannot be used: this process was forked from one that used them",
                hint="use the store after the fork alone (`connect` may come before it), "
                "or start processes by 'spawn' or 'forkserver'",
            )
        self._tables_used = True

    def shut(self) -> None:
        mine = getattr(self._mine, "depth", 0)
        with self._changed:
            self._shut = True
            self._changed.wait_for(lambda: self._inside <= mine, _PATIENCE_SECONDS)

    def open(self) -> None:
        with self._changed:
            self._shut = False
            self._changed.notify_all()

    def tear(self) -> None:
        self._torn = True

    def renew(self, *, half_imported: bool) -> None:
        """In a child, which came while it was shut."""
        self._changed = threading.Condition(threading.Lock())
        self._torn = self._torn or self._inside > 0 or half_imported
        self._inside, self._shut, self._mine = 0, False, threading.local()
        self._tables_inherited = self._tables_used


_gate = _Gate()


def hold_off_forks() -> AbstractContextManager[None]:
    """Be in the middle of something that a fork must not cut in two: a transaction, a table's files, a part opening.

    Raises ForkedError in a child that was forked while somebody was.
    """
    return _gate.hold_off_forks()


def uses_tables(work: Callable[P, T]) -> Callable[P, T]:
    """Mark a function that uses Lance: no fork cuts it in two, and a child of a process that used Lance is refused.

    Lance says itself that it cannot follow a fork: in such a child it hangs, or ends the process. Raises ForkedError.
    """

    @wraps(work)
    def run(*args: P.args, **named: P.kwargs) -> T:
        with _gate.hold_off_forks():
            _gate.use_tables()
            return work(*args, **named)

    return run


_numbers = itertools.count()
_followers: weakref.WeakValueDictionary[int, Forkable] = weakref.WeakValueDictionary()
_resting: list[Forkable] = []
_turn = threading.Lock()  # of threads that fork at once
_inherited: list[object] = []


def follow_forks(one: Forkable) -> None:
    """Tell it of every fork, in the order in which they were named here, as long as anybody else knows it."""
    _followers[next(_numbers)] = one


def inherit(*things: object) -> None:
    """Keep what came from the parent, so that nothing closes it."""
    _inherited.extend(things)


def _before() -> None:
    _turn.acquire()
    deadline = time.monotonic() + _IMPORT_SECONDS
    while _others_import() and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    _gate.shut()
    for one in [one for _, one in sorted(_followers.items())]:
        one.before_fork()
        _resting.append(one)


def _after_in_parent() -> None:
    while _resting:
        _resting.pop().after_fork()
    _gate.open()
    _turn.release()


def _after_in_child() -> None:
    global _turn
    _turn = threading.Lock()
    _gate.renew(half_imported=_others_import())
    for one in _resting:
        try:
            one.forked()
        except Exception:  # the others must not keep the parent's locks for it
            _gate.tear()
    _resting.clear()
    _use_one_thread()


def _others_import() -> bool:
    """Whether another thread is importing: a child would wait for ever for the lock on the module, or use half of it.

    Python has no public name for these locks; where it keeps them elsewhere nothing is waited for.
    """
    locks = [lock() for lock in list(getattr(importlib._bootstrap, "_module_locks", {}).values())]
    mine = (None, threading.get_ident())
    return any(getattr(lock, "owner", None) not in mine for lock in locks)


def _use_one_thread() -> None:
    """The pools of OpenMP are copied without their threads, and the next loop in parallel would wait for them."""
    if faiss := sys.modules.get("faiss"):
        faiss.omp_set_num_threads(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
