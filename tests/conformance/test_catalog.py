"""The embedded catalog keeps every promise of the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.catalog_suite import CatalogConformance
from vecrollback.catalog import Catalog
from vecrollback.errors import StoreNotFoundError


def open_sqlite(target: str, create: bool) -> Catalog:
    return Catalog(Path(target), create=create)


class TestSqlite(CatalogConformance):
    opener = staticmethod(open_sqlite)

    @pytest.fixture
    def target(self, tmp_path: Path) -> str:
        return str(tmp_path / "catalog.db")

    def test_damaged_page_is_found(self, target: str, catalog: Catalog) -> None:
        catalog.jobs.start("reembed", "one")
        with catalog._database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        catalog.close()
        data = bytearray(Path(target).read_bytes())
        root = 4096 * 3
        data[root : root + 8] = b"\xff" * 8
        Path(target).write_bytes(data)
        again = open_sqlite(target, False)
        assert again.integrity() != ""
        again.close()

    def test_database_of_something_else_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreNotFoundError):
            open_sqlite(str(tmp_path / "other.db"), False)
