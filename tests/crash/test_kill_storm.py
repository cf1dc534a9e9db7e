"""SIGKILL at random moments, of anything that takes part: in the end every document has its vectors, once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import storm


@pytest.fixture
def cluster() -> Iterator[storm.Cluster]:
    pytest.importorskip("distributed", reason="pip install 'vecrollback[dask]'")
    started = storm.Cluster()
    yield started
    started.close()


def test_a_few_kills_over_local_workers_leave_it_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(storm.SECONDS, "0.001")
    assert storm.blow(tmp_path / "store", "local:2", documents=2_000, kills=5, seed=3) >= 3


@pytest.mark.slow
def test_a_few_kills_over_a_cluster_leave_it_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: storm.Cluster
) -> None:
    monkeypatch.setenv(storm.SECONDS, "0.001")
    engine = cluster.engine
    killed = storm.blow(tmp_path / "store", engine, documents=2_000, kills=3, seed=5, cluster=cluster)
    assert killed >= 2


@pytest.mark.slow
def test_a_few_kills_over_ray_leave_it_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="pip install 'vecrollback[ray]'")
    monkeypatch.setenv(storm.SECONDS, "0.005")
    assert storm.blow(tmp_path / "store", "ray:2", documents=4_000, kills=6, seed=7) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["inline", "local:2"])
def test_two_hundred_kills_leave_it_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setenv(storm.SECONDS, "0.005")
    seed = random.randrange(10**6)
    print("seed", seed)
    assert storm.blow(tmp_path / "store", engine, documents=20_000, kills=200, seed=seed) >= 150


@pytest.mark.slow
def test_two_hundred_kills_over_a_cluster_leave_it_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: storm.Cluster
) -> None:
    monkeypatch.setenv(storm.SECONDS, "0.005")
    seed = random.randrange(10**6)
    print("seed", seed)
    engine = cluster.engine
    killed = storm.blow(tmp_path / "store", engine, documents=20_000, kills=200, seed=seed, cluster=cluster)
    assert killed >= 150
