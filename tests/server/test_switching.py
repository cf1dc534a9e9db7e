"""The switch under load: in every worker, for every query that begins after it was acknowledged."""

from __future__ import annotations

import os
import signal
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.support import shell
from tests.support.http_server import NO_TLS, QUERIES, V1, V2, Server, build, fresh, serving
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_for
from vecrollback import connect

_PAUSE = 0.02
"""Of each of four clients, where not all the machine is to be taken up."""


@dataclass
class Traffic:
    """Clients that ask again and again; what each was answered, and when it began to ask."""

    url: str
    pause: float
    answers: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def client(self, number: int) -> None:
        with httpx.Client(base_url=self.url, timeout=60, verify=NO_TLS) as http:
            while not self.stop.wait(self.pause):
                query = QUERIES[(number + len(self.answers)) % len(QUERIES)]
                begun = time.monotonic()
                try:
                    response = http.post("/v1/search", json={"query": query, "k": 5})
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                if response.status_code != 200:
                    self.failures.append(response.text)
                    continue
                self.answers.append((begun, query, response.json()))


@contextmanager
def traffic(url: str, clients: int = 4, pause: float = 0.0) -> Iterator[Traffic]:
    asked = Traffic(url, pause)
    threads = [threading.Thread(target=asked.client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        asked.stop.set()
        for thread in threads:
            thread.join()


def own_answers(store: Path, catalog: str | None = None) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """What each pair alone answers to each query."""
    expected = {}
    with connect(store, catalog=catalog) as opened:
        for pair in ("v1", "v2", "v1"):
            if opened.live().name != pair:
                opened.promote(pair, reason="to see")
            for query in QUERIES:
                expected[pair, query] = shape(opened.search(query, 5).hits, lambda hit: (hit.id, hit.score))
    return expected


def shape(hits: list[Any], pick: Any) -> list[tuple[str, float]]:
    return [(id_, round(score, 4)) for id_, score in map(pick, hits)]


def flip(store: Path, server: Server, flips: int, *, by_cli: int) -> list[tuple[float, int]]:
    """Let v1 and v2 take turns, over HTTP and by the command line; returns when each move was acknowledged."""
    acknowledged = []
    for number in range(flips):
        pair = "v2" if number % 2 == 0 else "v1"
        if by_cli and number % (flips // by_cli) == 0:
            done = shell("promote", pair, "--reason", "flip", "--store", store)
            assert done.returncode == 0, done.stderr
            epoch = fresh(server.url, "GET", "/v1/status").json()["alias"]["live"]["epoch"]
        else:
            body = {"pair": pair, "reason": "flip"}
            response = fresh(server.url, "POST", "/v1/promote", json=body)
            assert response.status_code == 200, response.text
            searchers = response.json()["searchers"]
            assert (searchers["acknowledged"], searchers["missing"]) == (searchers["expected"], [])
            assert searchers["expected"] >= 2
            epoch = response.json()["epoch"]
        acknowledged.append((time.monotonic(), epoch))
    return acknowledged


def verify(
    asked: Traffic, acknowledged: list[tuple[float, int]], store: Path, expected: dict[Any, Any], catalog: str | None
) -> None:
    with connect(store, catalog=catalog) as opened:
        pair_at = {move.epoch: move.target.rpartition("@")[0] for move in opened.history(alias="live")}
    times = [at for at, _ in acknowledged]
    assert not asked.failures
    for begun, query, answer in asked.answers:
        assert answer["pair"] == pair_at[answer["epoch"]]
        before = bisect_right(times, begun)
        if before:
            assert answer["epoch"] >= acknowledged[before - 1][1]
        hits = shape(answer["hits"], lambda hit: (hit["id"], hit["score"]))
        assert [score for _, score in hits] == pytest.approx(
            [score for _, score in expected[answer["pair"], query]], abs=2e-4
        )


def flips(
    store: Path, count: int, by_cli: int, *, workers: int = 2, catalog: str | None = None, pause: float = _PAUSE
) -> Traffic:
    expected = own_answers(store, catalog)
    where = ("--catalog", catalog) if catalog else ()
    with serving(store, "--workers", str(workers), *where) as server:
        wait_for("all workers", lambda: len(server.searchers()) == workers)
        with traffic(server.url, pause=pause) as asked:
            acknowledged = flip(store, server, count, by_cli=by_cli)
    verify(asked, acknowledged, store, expected, catalog)
    return asked


def test_flips_under_load_lose_nothing_and_answer_nothing_wrong(own_store: Path) -> None:
    asked = flips(own_store, 8, by_cli=2)
    assert len({answer["epoch"] for _, _, answer in asked.answers}) > 5


def test_flips_with_three_workers_and_a_catalog_in_postgresql_answer_nothing_wrong(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    catalog = postgres.url()
    store = build(tmp_path / "store", V1, V2, catalog=catalog)
    asked = flips(store, 6, by_cli=0, workers=3, catalog=catalog)
    assert len({answer["epoch"] for _, _, answer in asked.answers}) > 3


@pytest.mark.slow
def test_two_hundred_flips_under_load_lose_nothing_and_answer_nothing_wrong(own_store: Path) -> None:
    flips(own_store, 200, by_cli=20, pause=0.0)


def test_a_worker_that_is_killed_is_replaced_and_the_others_answer(own_store: Path) -> None:
    with serving(own_store, "--workers", "2") as server:
        wait_for("both workers", lambda: len(server.searchers()) == 2)
        killed = server.searchers()[0]
        os.kill(killed, signal.SIGKILL)
        for _ in range(20):
            assert fresh(server.url, "POST", "/v1/search", json={"query": "apples"}).status_code == 200
        wait_for("the new worker", lambda: len(set(server.searchers()) - {killed}) == 2)
        done = fresh(server.url, "POST", "/v1/rollback", json={"reason": "x"}).json()
        assert done["searchers"] == {"expected": 2, "acknowledged": 2, "missing": []}


def test_a_worker_that_hangs_over_a_switch_is_named_and_answers_right_when_it_goes_on(own_store: Path) -> None:
    with serving(own_store, "--workers", "2") as server:
        wait_for("both workers", lambda: len(server.searchers()) == 2)
        clients = [server.client() for _ in range(12)]
        with ThreadPoolExecutor(len(clients)) as pool:
            ask = lambda http: http.post("/v1/search", json={"query": "apples"}).json()  # noqa: E731
            assert {one["epoch"] for one in pool.map(ask, clients)} == {2}  # each connection now belongs to a worker
            hung = server.searchers()[0]
            os.kill(hung, signal.SIGSTOP)
            try:
                body = {"reason": "worse", "wait_seconds": 2, "catch_up": False}
                done = fresh(server.url, "POST", "/v1/rollback", json=body).json()
                waiting = [pool.submit(ask, http) for http in clients]
                time.sleep(0.5)
            finally:
                os.kill(hung, signal.SIGCONT)
            assert done["searchers"]["acknowledged"] == 1
            assert [name.rpartition(":")[2] for name in done["searchers"]["missing"]] == [str(hung)]
            assert {(one.result()["pair"], one.result()["epoch"]) for one in waiting} == {("v1", 3)}
        for http in clients:
            http.close()


_SLOW_MODEL = """
import time
from pathlib import Path
import numpy as np

def embed(texts):
    if texts == ["slowly"]:
        Path(__file__).with_name("asked").touch()
        time.sleep(1.5)
    return np.array([[len(t) + 1, sum(map(ord, t)) % 997 + 1, t.count("1") + 1, 1] * 2 for t in texts], np.float32)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_is_told_to_end_answers_what_it_was_asked(tmp_path: Path, workers: str) -> None:
    (tmp_path / "slow_model.py").write_text(_SLOW_MODEL)
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', Path.cwd())}"
    store = build(tmp_path / "store", V1)
    shell("reembed", "slow_model:embed", "--name", "slow", "--promote", "--store", store, env={"PYTHONPATH": path})
    with serving(store, "--workers", workers, env={"PYTHONPATH": path}) as server, ThreadPoolExecutor(2) as pool:
        wait_for("the workers", lambda: len(server.searchers()) == int(workers))
        query = pool.submit(fresh, server.url, "POST", "/v1/search", json={"query": "slowly"})
        streaming = threading.Event()
        stream = pool.submit(_follow, f"{server.url}/v1/jobs/{_hanging_job(store)}/events", streaming)
        assert streaming.wait(30)
        wait_for("the model to be asked", (tmp_path / "asked").exists)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert query.result().status_code == 200
        assert query.result().json()["pair"] == "slow"
        assert stream.result() == 200
        assert server.process.wait(30) == 0
        assert time.monotonic() - started < 10
    with connect(store) as opened:
        assert not opened.status()["searchers"]


def _follow(url: str, streaming: threading.Event) -> int:
    """Read a stream to its end, and tell when it has begun."""
    with httpx.Client(timeout=60, verify=NO_TLS) as http, http.stream("GET", url) as response:
        streaming.set()
        response.read()
        return response.status_code


def _hanging_job(store: Path) -> str:
    """A job whose process is gone: nobody will ever end it."""
    with connect(store) as opened:
        return opened.resources.catalog.jobs.start("check", "v1").id


def test_workers_end_when_their_supervisor_was_killed(own_store: Path) -> None:
    with serving(own_store, "--workers", "2") as server:
        wait_for("both workers", lambda: len(server.searchers()) == 2)
        workers = server.searchers()
        server.process.kill()
        wait_for("the workers to go", lambda: not any(_exists(pid) for pid in workers))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
