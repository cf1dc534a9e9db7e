"""Every catalog keeps every promise of the suite; and what only one of them can do.

Covers catalog.aliases, catalog.access, catalog.answer_counts, catalog.canaries, catalog.corpus_log, catalog.database,
catalog.evaluation, catalog.bridges, catalog.jobs, catalog.operations, catalog.pairs, catalog.policy_state,
catalog.reports, catalog.searchers, catalog.databases.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from tests.support.postgres import PostgresServer
from vecrollback import Document
from vecrollback.catalog import Catalog
from vecrollback.errors import CatalogUnavailableError, StoreNotFoundError
from vecrollback.testing import CatalogConformance


def open_sqlite(target: str, create: bool) -> Catalog:
    return Catalog(Path(target), create=create)


def open_postgres(target: str, create: bool) -> Catalog:
    root, _, url = target.partition("|")
    return Catalog(Path(root), url, create=create)


class TestSqlite(CatalogConformance):
    opener = staticmethod(open_sqlite)

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:
        return str(tmp_path)

    def test_damaged_page_is_found(self, target: str, catalog: Catalog) -> None:
        catalog.jobs.start("reembed", "one")
        with catalog._database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        catalog.close()
        file = Path(target) / "catalog.db"
        data = bytearray(file.read_bytes())
        root = 4096 * 3
        data[root : root + 8] = b"\xff" * 8
        file.write_bytes(data)
        again = open_sqlite(target, False)
        assert again.integrity() != ""
        again.close()

    def test_database_of_something_else_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreNotFoundError):
            open_sqlite(str(tmp_path / "other"), False)


class TestPostgres(CatalogConformance):
    opener = staticmethod(open_postgres)

    @pytest.fixture
    def target(self, tmp_path: Path, postgres: PostgresServer) -> str:
        return f"{tmp_path}|{postgres.url()}"


def test_a_catalog_with_a_damaged_schema_is_told_as_that(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("d", "text")])
    path = tmp_path / "store" / "catalog.db"
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATM TABLE"))
    with pytest.raises(CatalogUnavailableError, match="is damaged: malformed"):
        vecrollback.connect(tmp_path / "store").status()
