"""A process that holds a lock and does not go on is named, with its state, and waited for in bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import ROOT
from vecrollback.catalog.databases.holders import holders
from vecrollback.errors import CatalogUnavailableError, LockHeldError

pytestmark = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists locks")

_LOCK = """
import sys, vecrollback
with vecrollback.connect(sys.argv[1]) as store, store.resources.catalog.lock("pair-one"):
    print("held", flush=True)
    sys.stdin.read()
"""
_WRITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1] + "/catalog.db", isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def stopped(code: str, root: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has taken something, and was stopped."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(root)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    vecrollback.connect(root, create=True).close()
    return root


def test_a_stopped_holder_of_a_lock_is_named(root: Path) -> None:
    with stopped(_LOCK, root) as process, vecrollback.connect(root) as store:
        with pytest.raises(LockHeldError) as refused, store.resources.catalog.lock("pair-one", timeout=0.2):
            pytest.fail("the lock was held by another process")
        assert f"process {process.pid} (" in refused.value.message
        assert f"the stopped process {process.pid}" in refused.value.message
        assert "kill PID" in refused.value.hint


def test_a_stopped_writer_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecrollback.catalog.databases.sqlite._BUSY_MS", 200)
    with stopped(_WRITE, root) as process, vecrollback.connect(root) as store:
        with pytest.raises(CatalogUnavailableError, match="locked") as refused:
            store.freezes.freeze("a test", actor="tester")
        assert f"process {process.pid} (" in refused.value.hint
        assert f"the stopped process {process.pid}" in refused.value.hint
        assert "is in the middle of a write" in refused.value.hint


def test_nobody_is_named_where_nobody_holds_a_lock(root: Path, tmp_path: Path) -> None:
    with vecrollback.connect(root) as store, store.resources.catalog.lock("pair-one"):
        assert holders(root / "locks/pair-one.lock") == ""  # this process itself
    assert holders(root / "locks/pair-one.lock") == ""
    assert holders(tmp_path / "nowhere") == ""
