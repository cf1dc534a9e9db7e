"""A store of another format: older ones migrate, newer ones are refused."""

import sqlite3
from pathlib import Path

import pytest

import vecrollback
from tests.support import first_format
from vecrollback import Document
from vecrollback.catalog import schema
from vecrollback.errors import StoreFormatError, StoreNotFoundError


def _older(root: Path) -> None:
    """Take the store back to format 1."""
    with sqlite3.connect(root / "catalog.db") as connection:
        for later in first_format.LATER:
            connection.execute(f"DROP TABLE {later}")
        for table, column in first_format.LATER_COLUMNS:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("UPDATE store SET format = 1")


def test_a_store_of_the_first_format_migrates_and_passes_its_check(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path, create=True) as store:
        store.upsert([Document(str(i), f"text {i}") for i in range(50)])
        store.reembed("hash:32", name="v1").wait()
        store.promote("v1", reason="first")
    _older(tmp_path)
    with vecrollback.connect(tmp_path) as store:
        assert store.check("v1").verdict == "pass"
        assert store.upsert([Document("new", "text")]).head == 51
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        assert connection.execute("SELECT format FROM store").fetchone() == (schema.FORMAT,)
        assert connection.execute("SELECT count(*) FROM file").fetchone()[0] > 3


def test_a_store_of_a_newer_format_is_refused_and_named(tmp_path: Path) -> None:
    vecrollback.connect(tmp_path, create=True).close()
    with sqlite3.connect(tmp_path / "catalog.db") as connection:
        connection.execute("UPDATE store SET format = ?", (schema.FORMAT + 1,))
    with pytest.raises(StoreFormatError, match=f"format {schema.FORMAT + 1}") as refused:
        vecrollback.connect(tmp_path)
    assert "upgrade" in refused.value.hint


def test_a_directory_without_a_store_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError) as refused:
        vecrollback.connect(tmp_path)
    assert "init" in refused.value.hint


def test_every_table_of_the_newest_format_is_what_the_migrations_make(tmp_path: Path) -> None:
    vecrollback.connect(tmp_path / "new", create=True).close()
    vecrollback.connect(tmp_path / "old", create=True).close()
    _older(tmp_path / "old")
    vecrollback.connect(tmp_path / "old").close()

    def columns(root: Path) -> set[tuple[str, str]]:
        with sqlite3.connect(root / "catalog.db") as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                (name, row[1])
                for name in names
                if name != "alembic_version"
                for row in connection.execute(f"PRAGMA table_info({name})")
            }

    assert columns(tmp_path / "old") == columns(tmp_path / "new")
