"""What the catalog in PostgreSQL promises besides the suite: its identity, its durability, and lines that break."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support import first_format
from tests.support.cutting_proxy import CuttingProxy
from tests.support.postgres import PostgresServer, running
from vecrollback.catalog import Catalog, schema
from vecrollback.errors import (
    CatalogMismatchError,
    CatalogUnavailableError,
    HeadMovedError,
    MissingDependencyError,
    StoreNotFoundError,
    UsageError,
)
from vecrollback.records import CorpusState
from vecrollback.testing.catalog_records import EMPTY, a_move, a_pair, a_snapshot


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url()


@pytest.fixture
def catalog(url: str, tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path, url, create=True)
    opened.pairs.add(a_pair(), {})
    opened.pairs.add_snapshot(a_snapshot())
    yield opened
    opened.close()


# -- whose catalog it is ----------------------------------------------------------------------------------------------


def test_directory_and_catalog_of_two_stores_are_refused(url: str, tmp_path: Path, catalog: Catalog) -> None:
    for create in (True, False):
        with pytest.raises((CatalogMismatchError, StoreNotFoundError)):
            Catalog(tmp_path / "other", url, create=create)
    assert not (tmp_path / "other" / "store.json").exists(), "a directory is not claimed for a catalog that is taken"
    elsewhere = url.replace("schema=", "schema=other_")
    Catalog(tmp_path / "other", elsewhere, create=True).close()
    with pytest.raises(CatalogMismatchError, match="belongs to store") as refused:
        Catalog(tmp_path / "other", url)
    assert "schema" in refused.value.hint
    assert Catalog(tmp_path, url).store_id == catalog.store_id


def test_a_schema_with_tables_of_somebody_else_is_refused_and_left_alone(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute("CREATE TABLE shop.pair (theirs int)")
        with pytest.raises(UsageError, match="names that the catalog needs: pair") as refused:
            Catalog(tmp_path, postgres.url("shop"), create=True)
        assert "?schema=" in refused.value.hint
        assert not (tmp_path / "store.json").exists()
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'shop'").fetchall()
        assert tables == [("pair",)]
        connection.execute("DROP SCHEMA shop CASCADE")
    Catalog(tmp_path, postgres.url(), create=True).close()


def test_store_is_not_opened_with_the_other_kind_of_catalog(url: str, tmp_path: Path, catalog: Catalog) -> None:
    for create in (True, False):
        with pytest.raises(CatalogMismatchError, match="postgresql") as refused:
            Catalog(tmp_path, create=create)
        assert "--catalog" in refused.value.hint
    assert not (tmp_path / "catalog.db").exists()
    Catalog(tmp_path / "embedded", create=True).close()
    for create in (True, False):
        with pytest.raises(CatalogMismatchError, match=r"catalog\.db"):
            Catalog(tmp_path / "embedded", url, create=create)


def test_directory_that_is_no_store_is_refused_without_asking_the_server(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="no store"):
        Catalog(tmp_path, "postgresql://nobody@127.0.0.1:1/nothing")


@pytest.mark.parametrize("create", [False, True])
def test_catalog_of_the_first_format_migrates(create: bool, url: str, tmp_path: Path, catalog: Catalog) -> None:
    with catalog._database.write() as connection:
        for later in first_format.LATER:
            schema.metadata.tables[later].drop(connection)
        for table, column in first_format.LATER_COLUMNS:
            connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        connection.execute(schema.store.update().values(format=1))
    again = Catalog(tmp_path, url, create=create)
    with again._database.read() as connection:
        found = sa.inspect(connection)
        assert set(schema.metadata.tables) <= set(found.get_table_names())
        for name, table in schema.metadata.tables.items():
            assert {column["name"] for column in found.get_columns(name)} == set(table.columns.keys())
    assert again.pairs.get("one").snapshot == 1
    again.close()


# -- urls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hunter2@127.0.0.1:1/db",
        "postgresql://me@127.0.0.1:1/db?password=hunter2",
        "postgresql://me:hunter2@127.0.0.1:1/db?schema=Wrong-hunter",
        "postgresql://me:hunter2@[/db",
        "mysql://me:hunter2@host/db",
    ],
)
def test_password_is_in_no_message(url: str, tmp_path: Path) -> None:
    with pytest.raises((CatalogUnavailableError, UsageError)) as refused:
        Catalog(tmp_path, url, create=True)
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"
    assert "hunter2" not in "".join(path.read_text() for path in tmp_path.iterdir() if path.is_file())


def test_driver_that_is_not_installed_is_named_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for module in ("postgresql", "listen_notify"):
        monkeypatch.delitem(sys.modules, f"vecrollback.catalog.databases.{module}", raising=False)
    with pytest.raises(MissingDependencyError) as refused:
        Catalog(tmp_path, "postgresql://somebody@host/db", create=True)
    assert "vecrollback[postgresql]" in refused.value.hint


# -- durable ----------------------------------------------------------------------------------------------------------


def test_session_that_would_acknowledge_early_is_made_durable(url: str, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, f"{url}&options=-csynchronous_commit%3Doff", create=True)
    with catalog._database.write() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    with catalog._database.note() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off"
    with catalog._database.write() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    catalog.close()


def test_server_that_does_not_sync_is_refused(postgres: PostgresServer, tmp_path: Path) -> None:
    with running("fsync=off") as careless, pytest.raises(UsageError, match="fsync"):
        Catalog(tmp_path, careless.url(), create=True)


# -- lines that break -------------------------------------------------------------------------------------------------


@pytest.fixture
def cutting(
    postgres: PostgresServer, catalog: Catalog, tmp_path: Path, url: str
) -> Iterator[tuple[CuttingProxy, Catalog]]:
    with tempfile.TemporaryDirectory(prefix="vecrollback-cut-") as folder:
        proxy = CuttingProxy(Path(folder), postgres.folder)
        through = Catalog(tmp_path, url.replace(str(postgres.folder), folder))
        yield proxy, through
        through.close()
        proxy.close()


def test_move_whose_acknowledgement_was_lost_is_found_to_be_made(cutting: tuple[CuttingProxy, Catalog]) -> None:
    proxy, catalog = cutting
    proxy.cut = "after"
    assert catalog.aliases.move(a_move()).epoch == 1
    assert proxy.cut is None
    assert [move.epoch for move in catalog.aliases.history()] == [1]


def test_move_whose_commit_never_arrived_is_an_error_and_nothing_changed(cutting: tuple[CuttingProxy, Catalog]) -> None:
    proxy, catalog = cutting
    proxy.cut = "before"
    with pytest.raises(CatalogUnavailableError):
        catalog.aliases.move(a_move())
    assert catalog.aliases.history() == []
    assert catalog.aliases.move(a_move()).epoch == 1


def _terminate(postgres: PostgresServer, condition: str) -> None:
    with postgres.connect() as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {condition}")


def test_lock_that_was_lost_is_noticed_and_its_writer_cannot_commit(
    postgres: PostgresServer, url: str, tmp_path: Path, catalog: Catalog
) -> None:
    other = Catalog(tmp_path, url)
    with pytest.raises(CatalogUnavailableError, match=r"'corpus'.*lost"), catalog.lock("corpus"):
        _terminate(postgres, "query LIKE '%%pg_try_advisory_lock%%' AND pid <> pg_backend_pid()")
        with other.lock("corpus", timeout=5):
            other.ledger.commit(CorpusState(1, 2, 1), expected=EMPTY)
        with pytest.raises(HeadMovedError):
            catalog.ledger.commit(CorpusState(1, 2, 1), [("a", 1)], expected=EMPTY)
    with catalog.lock("corpus", timeout=5):
        assert catalog.ledger.state() == CorpusState(1, 2, 1)
    other.close()


def test_threads_of_one_process_take_turns(catalog: Catalog) -> None:
    inside: list[int] = []
    most = 0

    def work() -> None:
        nonlocal most
        for _ in range(5):
            with catalog.lock("corpus"):
                inside.append(1)
                most = max(most, len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_pointer_reader_connects_again_by_itself(postgres: PostgresServer, catalog: Catalog) -> None:
    catalog.aliases.move(a_move())
    reader = catalog.aliases.pointer_reader("live")
    before = reader.read()
    _terminate(postgres, "datname = 'postgres' AND pid <> pg_backend_pid()")
    assert reader.read() is before
    reader.close()


def test_waiting_reader_is_woken_by_a_commit_that_concerns_it_and_by_no_other(catalog: Catalog) -> None:
    reader = catalog.aliases.pointer_reader("live")
    assert reader.wait(5), "the first wait says that something may have changed before it listened"
    catalog.searchers.leave("nobody")
    assert not reader.wait(0.2)
    threading.Timer(0.1, lambda: catalog.aliases.move(a_move())).start()
    begun = time.monotonic()
    assert reader.wait(10)
    assert time.monotonic() - begun < 5
    threading.Timer(0.1, reader.wake).start()
    assert not reader.wait(10)
    assert time.monotonic() - begun < 8
    reader.close()


def test_a_session_that_the_server_ended_is_told_as_that(catalog: Catalog) -> None:
    with (
        pytest.raises(CatalogUnavailableError, match="idle-in-transaction"),
        catalog._database.write() as connection,
    ):
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout TO 50")
        time.sleep(0.5)
        connection.exec_driver_sql("SELECT 1")


def test_a_damaged_page_is_told_as_trouble_of_the_catalog(catalog: Catalog) -> None:
    with pytest.raises(CatalogUnavailableError, match="invalid page"), catalog._database.read() as connection:
        connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'invalid page' USING ERRCODE = 'XX001'; END $$")
