"""Every catalog keeps every promise of the suite; and what only one of them can do.

Covers catalog.aliases, catalog.access, catalog.answer_counts, catalog.canaries, catalog.corpus_log, catalog.database,
catalog.evaluation, catalog.bridges, catalog.jobs, catalog.operations, catalog.pairs, catalog.policy_state,
catalog.reports, catalog.searchers, catalog.traffic, catalog.databases.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import vecrollback
from tests.support.postgres import PostgresServer
from tests.support.spawner import forking_what_is_spawned, spawner
from vecrollback import Document
from vecrollback.catalog import Catalog
from vecrollback.errors import CatalogUnavailableError, StoreFormatError, StoreNotFoundError, UsageError
from vecrollback.testing import CatalogConformance


@pytest.fixture(scope="module", autouse=True)
def light_processes() -> Iterator[None]:
    """The suite's own processes, two dozen for each catalog, need not import everything anew."""
    with forking_what_is_spawned(spawner().address) if sys.platform == "linux" else contextlib.nullcontext():
        yield


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


def _execute(root: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(root / "catalog.db")) as connection:
        connection.execute(statement)
        connection.commit()


def _replace_locks(root: Path) -> None:
    shutil.rmtree(root / "locks")
    (root / "locks").write_text("a file")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cannot be read: unable to open": (lambda root: (root / "catalog.db").unlink(), "search"),
    "cannot be used: .*unable to open": (lambda root: (root / "catalog.db").unlink(), "upsert"),
    "cannot be taken: .*File exists": (_replace_locks, "upsert"),
    "cannot be taken: .*No such file": (shutil.rmtree, "upsert"),
    "a row that each store has is missing": (lambda root: _execute(root, "DELETE FROM corpus"), "upsert"),
    "is not valid JSON": (lambda root: _execute(root, "UPDATE pair SET contract = '{'"), "status"),
}


@pytest.mark.parametrize("told", DAMAGES)
def test_whatever_is_wrong_with_an_open_catalog_is_told_as_that(tmp_path: Path, told: str) -> None:
    damage, operation = DAMAGES[told]
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.reembed("hash:64", name="one").wait()
        damage(tmp_path / "store")
        operations = {
            "search": lambda: store.search("text"),
            "upsert": lambda: store.upsert([Document("d", "text")]),
            "status": store.status,
        }
        with pytest.raises(CatalogUnavailableError, match=told) as caught:
            operations[operation]()
        assert caught.value.hint


def test_state_and_tombstones_of_a_catalog_without_its_row_are_told_as_damage(tmp_path: Path) -> None:
    with contextlib.closing(Catalog(tmp_path, create=True)) as catalog:
        _execute(tmp_path, "DELETE FROM corpus")
        with pytest.raises(CatalogUnavailableError, match="a row that each store has"):
            catalog.ledger.standing()


@pytest.mark.parametrize("content", ['{"id": 5, "catalog": "catalog.db"}', '{"id": "a", "catalog": null}', "[]"])
def test_an_identity_that_is_no_identity_is_told_as_that(tmp_path: Path, content: str) -> None:
    Catalog(tmp_path, create=True).close()
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(StoreFormatError, match=r"store\.json in .* cannot be read"):
        Catalog(tmp_path)


def test_threads_that_wait_too_long_for_a_connection_are_told_that(tmp_path: Path) -> None:
    with contextlib.closing(Catalog(tmp_path, create=True)) as catalog, contextlib.ExitStack() as readers:
        pool = catalog._database.engine.pool
        assert isinstance(pool, sa.pool.QueuePool)
        pool._timeout = 0.01
        with pytest.raises(CatalogUnavailableError, match="all connections of this process are busy"):
            for _ in range(100):
                readers.enter_context(catalog._database.read())


@pytest.mark.parametrize("name", ["move-abc", "log-1 (copy)", "move-000000000001-", "accepted-x"])
def test_a_foreign_file_beside_the_marks_stops_nothing(tmp_path: Path, name: str) -> None:
    with contextlib.closing(Catalog(tmp_path, create=True)) as catalog:
        (tmp_path / "witness").mkdir(exist_ok=True)
        (tmp_path / "witness" / name).write_text("")
        catalog.require_present()
        catalog.jobs.start("reembed", "one")
        assert catalog.setback(look=True) is None


def test_an_alias_whose_name_is_not_unicode_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(Catalog(tmp_path, create=True)) as catalog, pytest.raises(UsageError, match="a name"):
        catalog.aliases.pointer_reader("\ud800")
