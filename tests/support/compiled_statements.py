"""What SQLAlchemy compiled for one SQLite catalog serves every other of this process.

A catalog keeps the statements that it has compiled, and a test opens several: to compile the same seventy for each took
a fifth of the time of all tests. Dialects of one class and one SQLite are alike, so they count as equal here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import util
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine

_MOST = 5_000


def share_compiled_statements() -> None:
    """From now on, for catalogs that are opened in this process and in those forked from it."""
    shared: Any = util.LRUCache(_MOST)
    make = Engine.__init__

    def with_shared(self: Engine, pool: Any, dialect: Any, *arguments: Any, **options: Any) -> None:
        make(self, pool, dialect, *arguments, **options)
        if type(dialect) is SQLiteDialect_pysqlite:
            self._compiled_cache = shared

    def equal(self: object, other: object) -> bool:
        return type(self) is type(other)

    Engine.__init__ = with_shared  # type: ignore[method-assign,assignment]
    SQLiteDialect_pysqlite.__eq__ = equal  # type: ignore[method-assign,assignment]
    SQLiteDialect_pysqlite.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign,assignment]
