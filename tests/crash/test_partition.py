"""Hosts that drop out of the network: a job over them ends exact, whether they come back or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import models, storm
from tests.support.dask_hosts import Hosts, why_not

DOCUMENTS = 6_000


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    pytest.importorskip("distributed", reason="pip install 'vecrollback[dask]'")
    if reason := why_not():
        pytest.skip(reason)
    monkeypatch.setenv(storm.SECONDS, "0.003")
    monkeypatch.setenv(models.LOG, str(tmp_path / "log"))
    started = Hosts(workers=3)
    yield started
    started.close()


def lines(log: Path) -> list[tuple[int, int]]:
    """Process and number of documents of every call of the model so far."""
    rows = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(int(pid), int(count)) for pid, count in rows]


def pids_of_documents(log: Path) -> set[int]:
    return {pid for pid, count in lines(log) if count}


@pytest.mark.parametrize("returns", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_worker_cut_off_from_its_scheduler_leaves_it_exact(tmp_path: Path, hosts: Hosts, *, returns: bool) -> None:
    with storm.filled(tmp_path / "store", DOCUMENTS) as store:
        driver = hosts.start("-c", storm.DRIVER, str(store.root), "tests.support.models:slow", hosts.engine)
        while len(pids_of_documents(tmp_path / "log")) < 3:  # every worker has finished something and is at the next
            assert driver.poll() is None
            time.sleep(0.05)
        hosts.cut(1)
        if returns:
            time.sleep(6)  # long enough to be given up, and for its unit to be done elsewhere
            hosts.mend(1)
        assert driver.wait(timeout=120) == 0
        embedded = sum(count for _, count in lines(tmp_path / "log"))
        storm.assert_exact(store, DOCUMENTS)
    assert embedded >= DOCUMENTS
    assert embedded < 2 * DOCUMENTS  # only what was on the lost host was done again
