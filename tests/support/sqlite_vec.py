"""SQLite with the extension sqlite-vec, also where Python's own `sqlite3` was built without loading extensions."""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that knows `vec0`; committed and closed at the end. Skips where there is no sqlite-vec."""
    module = pytest.importorskip("sqlite_vec", reason="needs sqlite-vec")
    # SQLite itself registers the extension: the library that Python's module is linked with is loaded once a process.
    library, extension = ctypes.CDLL("libsqlite3.so.0"), ctypes.CDLL(f"{module.loadable_path()}.so")
    entry = ctypes.cast(extension.sqlite3_vec_init, ctypes.c_void_p)
    library.sqlite3_auto_extension(entry)
    try:
        connection = sqlite3.connect(path)
        yield connection
        connection.commit()
        connection.close()
    finally:
        library.sqlite3_cancel_auto_extension(entry)
