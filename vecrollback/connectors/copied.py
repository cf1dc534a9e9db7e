"""A private copy of a database's folder, for libraries that write to whatever they open."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from vecrollback.errors import UsageError

_SQLITE = (".sqlite3", ".sqlite")
# SQLite's backup takes in what its journals hold; a lock belongs to the process that made it.
_LEFT_OUT = (".lock", "-journal", "-wal", "-shm")


def copy_of_folder(folder: Path, place: str) -> TemporaryDirectory[str]:
    """Copy a folder to the temporary directory; SQLite files as of one moment, also while somebody writes to them."""
    if not folder.is_dir():
        raise UsageError(
            f"{place}: folder {folder} does not exist", hint="give the folder that the database was made in"
        )
    target = TemporaryDirectory(prefix="vecrollback-doctor-")
    try:
        for path in sorted(folder.rglob("*")):
            there = Path(target.name) / path.relative_to(folder)
            if path.is_dir():
                there.mkdir(parents=True, exist_ok=True)
            elif path.suffix in _SQLITE:
                _back_up(path, there)
            elif not path.name.endswith(_LEFT_OUT):
                shutil.copyfile(path, there)
    except (OSError, sqlite3.Error) as error:
        target.cleanup()
        raise UsageError(
            f"{place}: cannot be copied to {target.name}: {error}",
            hint="it is examined in a copy; TMPDIR names a directory with room for one",
        ) from error
    return target


def _back_up(path: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{path.absolute().as_posix()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
