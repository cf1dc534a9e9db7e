"""Digests of the files that hold a Lance table, so that a changed byte is found. Lance keeps none of its own."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from vecrollback.catalog.database import Database
from vecrollback.catalog.schema import file


class Files:
    """Digests by owner (a table's name) and path inside it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, owner: str) -> dict[str, str]:
        """Path -> SHA-256 of every file that was recorded."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(file.c.path, file.c.sha256).where(file.c.owner == owner))
            return {row.path: row.sha256 for row in rows}

    def keep_only(self, owner: str, paths: set[str]) -> None:
        """Forget files that the table no longer consists of."""
        gone = [path for path in self.of(owner) if path not in paths]
        with self._database.write() as connection:
            for path in gone:
                connection.execute(file.delete().where(file.c.owner == owner, file.c.path == path))


def record_files(database: Database, connection: sa.Connection, owner: str, files: Mapping[str, str]) -> None:
    """Record digests inside the transaction that acknowledges the files."""
    if files:
        statement = database.insert(file)
        rows = [{"owner": owner, "path": path, "sha256": digest} for path, digest in files.items()]
        newest = {"sha256": statement.excluded.sha256}
        connection.execute(statement.on_conflict_do_update(index_elements=["owner", "path"], set_=newest), rows)
