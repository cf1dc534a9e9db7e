"""Copies of artefacts on this machine: bounded, shared by processes, and never taken from whoever has one open."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.operations import ROOT
from vecrollback.storage.artifacts.cache import Cache

_FETCH = """
import sys, time
from pathlib import Path
from vecrollback.storage.artifacts.cache import Cache
cache, count = Cache(Path(sys.argv[1]), 1 << 20), Path(sys.argv[2])
def fetch(path):
    with count.open("a") as log: log.write("fetched\\n")
    time.sleep(0.3)
    path.write_bytes(b"x" * 1000)
path = cache.get("one", fetch)
assert path.read_bytes() == b"x" * 1000
"""
_HOLD = """
import sys
from pathlib import Path
from vecrollback.storage.artifacts.cache import Cache
kept = Cache(Path(sys.argv[1]), 1 << 20).keep(["held"])
print("held", flush=True)
sys.stdin.readline()
"""


def copy(size: int) -> Callable[[Path], None]:
    return lambda path: _write(path, size)


def _write(path: Path, size: int) -> None:
    path.write_bytes(b"x" * size)


def names(cache: Cache) -> set[str]:
    return {path.name for path in cache.root.iterdir() if path.name != "locks"}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 10_000)


def test_the_least_recently_used_goes_first(cache: Cache) -> None:
    for name in ("a", "b", "c"):
        cache.get(name, copy(3_000))
        time.sleep(0.01)
    cache.get("a", copy(0))
    cache.get("d", copy(3_000))
    assert names(cache) == {"a", "c", "d"}


def test_what_is_open_stays_whatever_the_limit(cache: Cache) -> None:
    kept = cache.keep(["a", "b"])
    for name in ("a", "b", "c", "d"):
        cache.get(name, copy(6_000))
    assert names(cache) == {"a", "b", "d"}
    del kept
    cache.get("e", copy(6_000))
    assert names(cache) == {"e"}


def test_a_copy_larger_than_the_limit_can_be_read(cache: Cache) -> None:
    assert cache.get("large", copy(50_000)).stat().st_size == 50_000


def test_what_another_process_has_open_stays_until_that_dies(cache: Cache) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(cache.root)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    cache.get("held", copy(9_000))
    cache.get("next", copy(9_000))
    assert names(cache) == {"held", "next"}
    holder.kill()
    holder.communicate()
    cache.get("last", copy(9_000))
    assert names(cache) == {"last"}


def test_processes_that_want_one_copy_together_fetch_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FETCH, str(tmp_path / "cache"), str(tmp_path / "log")]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4
    assert (tmp_path / "log").read_text() == "fetched\n"


def test_a_fetch_that_failed_leaves_nothing(cache: Cache) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("the line was cut")

    with pytest.raises(OSError, match="cut"):
        cache.get("a", fail)
    assert names(cache) == set()
    assert cache.get("a", copy(10)).read_bytes() == b"x" * 10


def test_whoever_mapped_a_copy_that_is_dropped_keeps_its_bytes(cache: Cache) -> None:
    import numpy as np

    def save(path: Path) -> None:
        with path.open("wb") as stream:
            np.save(stream, np.arange(1000))

    mapped = np.load(cache.get("a", save), mmap_mode="r")
    cache.drop("a")
    assert cache.holds("a") is None
    assert int(mapped.sum()) == 499_500
