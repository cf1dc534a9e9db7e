"""Making bytes survive a power loss: sync the file, rename it into place, sync the directory.

Lance and FAISS write without syncing. What they wrote becomes durable here, before a catalog row may name it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_BLOCK = 1 << 20


def sync_file(path: Path) -> None:
    """Flush one file's data and size to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Flush a directory's entries, so that names created in it survive."""
    sync_file(path)


def sync_tree(root: Path) -> None:
    """Flush every file and directory under `root`, and `root`'s own name."""
    for directory, _, names in os.walk(root, topdown=False):
        sync_files(Path(directory) / name for name in names)
        sync_directory(Path(directory))
    sync_directory(root.parent)


def sync_files(paths: Iterable[Path]) -> None:
    for path in paths:
        sync_file(path)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on a clean exit it is synced and renamed to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
