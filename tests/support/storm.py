"""Killing what a job is made of, at random, until it is done: workers, the driver, a scheduler."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import vecrollback
from tests.support import models
from vecrollback import Document, Store

DRIVER = """
import sys, vecrollback
from vecrollback.records import Effort
with vecrollback.connect(sys.argv[1]) as store:
    print("up", flush=True)
    store.reembed(sys.argv[2], name="one", index="Flat", effort=Effort(sys.argv[3])).wait()
"""
_TEXT = "note {} on boats, lakes and bread, version {}"


class Driver:
    """The process that runs the job; begun again whenever it ended before the job did."""

    def __init__(self, root: Path, engine: str) -> None:
        self._command = [sys.executable, "-c", DRIVER, str(root), "tests.support.models:slow", engine]
        self._process = self._begin()

    def _begin(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "up\n", process.communicate()
        return process

    def done(self) -> bool:
        code = self._process.poll()
        if code == 0:
            return True
        if code is not None:
            error = self._process.communicate()[1]
            assert code == -signal.SIGKILL or "EngineLostError" in error, error
            self._process = self._begin()
        return False

    @property
    def pids(self) -> list[int]:
        """Its own and its children's."""
        return [self._process.pid, *children(self._process.pid)]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Cluster:
    """A Dask scheduler and two workers, each a process, begun again when one is dead."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.tend()

    @property
    def engine(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes.values()]

    def tend(self) -> None:
        address = f"tcp://127.0.0.1:{self.port}"
        scheduler = ["dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        worker = ["dask_worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        for name, command in {"scheduler": scheduler, "one": worker, "two": worker}.items():
            if name not in self._processes or self._processes[name].poll() is not None:
                line = [sys.executable, "-m", f"distributed.cli.{command[0]}", *command[1:]]
                environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
                self._processes[name] = subprocess.Popen(line, stderr=subprocess.DEVNULL, env=environment)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


def children(pid: int) -> list[int]:
    """Of all its threads: the one that runs the job starts the workers."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    with suppress(OSError):
        return [int(child) for one in lists for child in one.read_text().split()]
    return []


@contextmanager
def filled(root: Path, documents: int) -> Iterator[Store]:
    with vecrollback.connect(root, create=True) as store:
        for first in range(0, documents, 5_000):
            part = range(first, min(first + 5_000, documents))
            store.upsert([Document(f"d{n}", _TEXT.format(n, 0)) for n in part])
        yield store


def blow(root: Path, engine: str, *, documents: int, kills: int, seed: int, cluster: Cluster | None = None) -> int:
    """Build a pair while its processes are killed and a writer goes on; returns how many kills there were."""
    chance = random.Random(seed)
    killed = 0
    with filled(root, documents) as store:
        driver = Driver(root, engine)
        try:
            while not driver.done():
                if killed < kills:
                    time.sleep(chance.expovariate(4))
                    pids = [*driver.pids, *(cluster.pids if cluster else [])]
                    with suppress(ProcessLookupError):
                        os.kill(chance.choice(pids), signal.SIGKILL)
                        killed += 1
                    number = chance.randrange(documents)
                    store.upsert([Document(f"d{number}", _TEXT.format(number, killed))])
                else:
                    time.sleep(0.1)
                if cluster:
                    cluster.tend()
        finally:
            driver.close()
        assert_exact(store, documents)
    return killed


def assert_exact(store: Store, documents: int) -> None:
    """No document is missing, none has two rows for one change, nothing was given up."""
    store.catch_up("one")
    pair = store.pair("one")
    keys = store.resources.vectors_of(pair).keys(pair.vectors_version)
    changes = list(zip(keys["doc_id"].to_pylist(), keys["seq"].to_pylist(), strict=True))
    assert len(changes) == len(set(changes))
    assert {id_ for id_, _ in changes} == {f"d{n}" for n in range(documents)}
    assert not store.resources.catalog.embedding.without(pair="one")
    report = store.check("one")
    assert report.verdict == "pass", report.findings
    assert store.reembed("tests.support.models:slow", name="one").wait().state == "ready"


SECONDS = models.SECONDS
