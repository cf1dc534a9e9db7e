"""`reconcile`: a catalog that went back in time is told by every command, and mended by this one."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from tests.cli.support import cli, cli_json, keys_promised, refusal, text
from vecrollback import connect


@pytest.fixture
def older(store: Path) -> Path:
    """The store after a rollback, with the catalog of the time before it."""
    backup = store.parent / "backup.db"
    with sqlite3.connect(store / "catalog.db") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    with connect(store) as opened:
        opened.rollback(reason="worse answers", catch_up=False)
    for tail in ("-wal", "-shm"):
        Path(f"{store / 'catalog.db'}{tail}").unlink(missing_ok=True)
    os.replace(backup, store / "catalog.db")
    return store


def test_reconcile(older: Path) -> None:
    assert "went back in time" in cli("search", "apples").stderr
    assert "went back" in text("status")
    assert cli_json("status")["setback"]
    assert "went back in time" in refusal("delete", "d3", code=3)["message"]
    assert "move 4" in text("reconcile", "--dry-run")
    answer = cli_json("reconcile")
    assert set(answer) == keys_promised("reconcile")
    assert [move["kind"] for move in answer["replayed"]] == ["rollback"]
    assert cli_json("status")["alias"]["live"]["pair"] == "v1"
    assert text("reconcile") == "the catalog lacks nothing that was seen\n"
    assert cli("status").stderr == ""


def test_what_was_mended_is_shown(older: Path) -> None:
    shown = text("reconcile")
    assert "taken back: 0 changes of documents and 1 move" in shown
