"""Copies of artefacts on this machine's disk, shared by all its processes and all its stores.

A name is a digest, so a copy is right or damaged, never old. Files are locked with `flock`, which the system lets go of
when a process dies: shared by whoever has a copy open, alone by whoever fetches it or takes it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vecrollback.storage.artifacts.base import remove, size
from vecrollback.storage.local import sync_file, sync_tree

_LEFT_OVER_SECONDS = 24 * 3600.0
"""An unfinished copy that is older belongs to a process that died."""


class Cache:
    """At most `limit` bytes of copies in `root`, but for those that are open; the least recently used go first."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit
        self._locks = root / "locks"
        self._locks.mkdir(parents=True, exist_ok=True, mode=0o700)

    def get(self, name: str, fetch: Callable[[Path], None]) -> Path:
        """The copy of an artefact; `fetch` writes it to a path, once, whichever processes ask for it together."""
        path = self.root / name
        if not path.exists():
            with self._alone(f"{name}.fetch"):
                # Looked up again: the process that held the lock before may have fetched it.
                if not path.exists():
                    with self.room() as folder:
                        fetch(folder / name)
                        self.take(name, folder / name)
        self._note_use(name)
        return path

    def take(self, name: str, path: Path) -> None:
        """Move a file or folder that has this name's digest into the cache."""
        (sync_tree if path.is_dir() else sync_file)(path)
        with contextlib.suppress(OSError):  # a folder that is there already: its bytes are the same
            path.replace(self.root / name)
        self._note_use(name)
        # Not the new copy itself, even when it alone is over the limit: its reader is about to open it.
        self._shrink(keep=name)

    def drop(self, name: str) -> None:
        """Forget a copy, also one that is open: whoever mapped it keeps the bytes it had."""
        with self.room() as attic, contextlib.suppress(FileNotFoundError):
            (self.root / name).rename(attic / name)

    def holds(self, name: str) -> Path | None:
        """Where the copy is, None when there is none."""
        path = self.root / name
        return path if path.exists() else None

    def keep(self, names: Iterable[str]) -> object:
        """A lock on these names, there or not, that lives as long as what is returned."""
        return _Lease([self._shared_lock(f"{name}.use") for name in sorted(set(names))])

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A new folder on the cache's disk, gone at the end with what is still in it."""
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as folder:
            yield Path(folder)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _shared_lock(self, name: str) -> int:
        descriptor = os.open(self._locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os.utime(descriptor)
        return descriptor

    @contextmanager
    def _alone(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold a lock that nobody shares. Raises BlockingIOError when it is held and this does not wait."""
        descriptor = os.open(self._locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(descriptor)

    def _note_use(self, name: str) -> None:
        (self._locks / f"{name}.use").touch()

    def _shrink(self, *, keep: str) -> None:
        """Take copies away until the rest fits. One process at a time; another one's turn comes with its next copy."""
        with contextlib.suppress(BlockingIOError), self._alone("shrink", wait=False):
            self._clear_left_overs()
            copies = {path.name: size(path) for path in self.root.iterdir() if self._is_copy(path)}
            total = sum(copies.values())
            for name in sorted(copies, key=self._last_used):
                if total <= self.limit:
                    return
                if name != keep and self._evict(name):
                    total -= copies[name]

    def _evict(self, name: str) -> bool:
        try:
            with self._alone(f"{name}.use", wait=False):
                self.drop(name)
        except BlockingIOError:
            return False
        return True

    def _is_copy(self, path: Path) -> bool:
        return path != self._locks and not path.name.startswith(".")

    def _last_used(self, name: str) -> float:
        try:
            return (self._locks / f"{name}.use").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _clear_left_overs(self) -> None:
        for path in self.root.glob(".new-*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _LEFT_OVER_SECONDS:
                    remove(path)


class _Lease:
    """Open lock files; closing them lets go."""

    def __init__(self, descriptors: list[int]) -> None:
        weakref.finalize(self, _close, descriptors)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
