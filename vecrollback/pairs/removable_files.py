"""The files that a prune may take: how old they are, and how they are taken while nobody may begin to use them.

Paths are relative to the store: `artifacts/NAME`, `tables/NAME.lance`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vecrollback.errors import LockHeldError
from vecrollback.records import PrunableFile
from vecrollback.storage.artifacts import remove, size
from vecrollback.storage.local import reach
from vecrollback.storage.s3 import S3FileStore

ASIDE = ".pruned-"
UNFINISHED_SECONDS = 24 * 3600.0
"""How old an unfinished file may become before it counts as left behind: its writer may still be at work."""

_AT_ONCE = 200
"""Objects removed while the catalog stands still: one request, which nobody has to wait long for."""

PathsInUse = Callable[[], set[str]]
"""Paths that something in the catalog names, at this moment."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file or folder. `age`: seconds since it was written, or found in place by a writer."""

    path: str
    bytes: int
    age: float

    @property
    def unfinished(self) -> bool:
        name = self.path.rpartition("/")[2]
        return name.startswith(".") and not name.startswith(ASIDE)


@dataclass(frozen=True, slots=True)
class PruneLocks:
    """`alone`: nobody else changes the catalog. `table_lock`: nobody writes this table; raises LockHeldError."""

    alone: Callable[[], AbstractContextManager[None]]
    table_lock: Callable[[str], AbstractContextManager[None]]


class RemovableFiles(Protocol):
    def candidates(self) -> Iterator[Candidate]:
        """Every artefact, what unfinished writes and prunes left beside them, and every table."""
        ...

    def take(
        self,
        files: Iterable[PrunableFile],
        in_use: PathsInUse,
        locks: PruneLocks,
        cool_down: float,
        reasons: dict[str, str],
    ) -> tuple[PrunableFile, ...]:
        """Delete those that nothing names; returns them, and writes into `reasons` why another one stays."""
        ...


class LocalRemovableFiles:
    """On a local disk files are set aside while nobody can change the catalog, and deleted after that."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def candidates(self) -> Iterator[Candidate]:
        for path in [*_children(self._root / "artifacts"), *(self._root / "tables").glob("*.lance")]:
            with contextlib.suppress(FileNotFoundError):  # writers come and go
                yield Candidate(path.relative_to(self._root).as_posix(), size(path), _age(path))

    def take(
        self,
        files: Iterable[PrunableFile],
        in_use: PathsInUse,
        locks: PruneLocks,
        cool_down: float,
        reasons: dict[str, str],
    ) -> tuple[PrunableFile, ...]:
        with locks.alone():
            paths = in_use()
            files_aside = tuple(file for file in files if self._set_aside(file, paths, cool_down, reasons))
        reach("prune.set_aside")
        for file in files_aside:
            remove(self._aside_path(file))
            reach("prune.file_removed")
        return files_aside

    def _set_aside(self, file: PrunableFile, in_use: set[str], cool_down: float, reasons: dict[str, str]) -> bool:
        path = self._root / file.path
        if file.path in in_use or not path.exists():
            reasons[file.path] = "something names it again" if file.path in in_use else "it is gone already"
            return False
        # Renamed before its age is read: a writer that found it in place a moment earlier has made it young.
        path.rename(self._aside_path(file))
        if _age(self._aside_path(file)) < cool_down:
            self._aside_path(file).rename(path)
            reasons[file.path] = "a writer has just found it in place"
            return False
        return True

    def _aside_path(self, file: PrunableFile) -> Path:
        path: Path = self._root / file.path
        return path.with_name(ASIDE + path.name.removeprefix(ASIDE))


class S3RemovableFiles:
    """On object storage nothing can be renamed.

    Artefacts are deleted while nobody can change the catalog, a table while nobody else holds its pair's lock. A writer
    that finds bytes in place which have been there for a while puts them again, so that they are young.
    """

    def __init__(self, file_store: S3FileStore) -> None:
        self._file_store = file_store

    def candidates(self) -> Iterator[Candidate]:
        now = time.time()
        for entry in self._file_store.entries("artifacts"):
            yield Candidate(f"artifacts/{entry.name.removesuffix('.tar')}", entry.bytes, now - entry.modified)
        tables: dict[str, tuple[int, float]] = {}
        for entry in self._file_store.entries("tables"):
            name = entry.name.partition("/")[0]
            total, newest = tables.get(name, (0, 0.0))
            tables[name] = total + entry.bytes, max(newest, entry.modified)
        for name, (total, newest) in tables.items():
            yield Candidate(f"tables/{name}", total, now - newest)

    def take(
        self,
        files: Iterable[PrunableFile],
        in_use: PathsInUse,
        locks: PruneLocks,
        cool_down: float,
        reasons: dict[str, str],
    ) -> tuple[PrunableFile, ...]:
        ages = {one.path: one.age for one in self.candidates()}
        old_enough = []
        for file in files:
            age = ages.get(file.path)
            if age is None or age < cool_down:
                reasons[file.path] = "it is gone already" if age is None else "a writer has just found it in place"
            else:
                old_enough.append(file)
        # A table is many objects: it goes under its pair's lock, because the catalog must not stand still for so long.
        artifacts = [file for file in old_enough if file.path.startswith("artifacts/")]
        removals = self._artifacts(artifacts, in_use, locks, reasons)
        return removals + tuple(
            file for file in old_enough if file not in artifacts and self._table(file, in_use, locks, reasons)
        )

    def _artifacts(
        self, files: list[PrunableFile], in_use: PathsInUse, locks: PruneLocks, reasons: dict[str, str]
    ) -> tuple[PrunableFile, ...]:
        removals: list[PrunableFile] = []
        for first in range(0, len(files), _AT_ONCE):
            part = files[first : first + _AT_ONCE]
            with locks.alone():
                paths = in_use()
                going = [file for file in part if file.path not in paths]
                # An artefact that is a folder is stored as one tar.
                keys = [key for file in going for key in (file.path, f"{file.path}.tar")]
                self._file_store.remove_all(keys, hasty=True)
            reach("prune.set_aside")
            reasons |= {file.path: "something names it again" for file in part if file not in going}
            removals += going
        return tuple(removals)

    def _table(self, file: PrunableFile, in_use: PathsInUse, locks: PruneLocks, reasons: dict[str, str]) -> bool:
        try:
            with locks.table_lock(file.path.removeprefix("tables/").removesuffix(".lance")):
                if file.path in in_use():
                    reasons[file.path] = "something names it again"
                    return False
                self._file_store.remove(file.path)
        except LockHeldError as error:
            reasons[file.path] = error.message
            return False
        reach("prune.file_removed")
        return True


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
