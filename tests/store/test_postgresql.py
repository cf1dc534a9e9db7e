"""A store with its catalog on a PostgreSQL server: the whole story under traffic, and what happens when that goes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.support.operations import EVERY_ROW, start
from tests.support.oracle import ONE, QUERIES, TOLERANCE, TWO, assert_passes, assert_serves, exact
from tests.support.postgres import PostgresServer, available, running
from tests.support.waiting import wait_for
from vecrollback import Document, Store
from vecrollback.errors import CatalogUnavailableError, VecrollbackError

SPECS = {"one": ONE, "two": TWO}
TEXTS = {f"d{n}": f"note {n} on {('boats', 'the lake', 'bread', 'the harbour')[n % 4]}, {n * 7}" for n in range(40)}
SEARCHERS = 2


@pytest.fixture
def server(postgres: PostgresServer) -> PostgresServer:
    """The one that all tests share; a class that ends it has one of its own."""
    return postgres


@pytest.fixture
def url(server: PostgresServer) -> str:
    return server.url()


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    with vecrollback.connect(tmp_path / "store", catalog=url, create=True) as opened:
        opened.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name, spec in SPECS.items():
            opened.reembed(spec, name=name, index="Flat").wait()
            opened.promote(name, reason="first")
        yield opened


def test_commands_of_the_runbook_name_the_catalog(store: Store, url: str) -> None:
    lines = [line for line in store.runbook().splitlines() if line.startswith("vecrollback status")]
    assert lines
    environment = {name: value for name, value in os.environ.items() if name != "VECROLLBACK_CATALOG"}
    command = [sys.executable, "-m", *shlex.split(lines[0])]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "two@1" in done.stdout


class Traffic:
    """Searcher processes that ask all the time and write down what they heard."""

    def __init__(self, store: Store, url: str) -> None:
        self._files = [store.root.parent / f"searcher-{n}" for n in range(SEARCHERS)]
        call = (str(store.root), "query", "follow")
        options: dict[str, Any] = {"module": "tests.support.traffic", "VECROLLBACK_CATALOG": url}
        self._processes = [start(*call, output=file, **options) for file in self._files]

    def answers(self) -> list[list[dict[str, Any]]]:
        """What each heard so far; a line that is being written is left out."""
        return [[json.loads(line) for line in file.read_text().split("\n")[:-1]] for file in self._files]

    def stop(self) -> list[dict[str, Any]]:
        """Everything they heard. A query that failed ended its process, which fails the test."""
        for process in self._processes:
            errors = process.communicate("\n", timeout=60)[1]
            assert process.returncode == 0, errors
        return [answer for part in self.answers() for answer in part]

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def traffic(store: Store, url: str) -> Iterator[Traffic]:
    asking = Traffic(store, url)
    wait_for("first answers", lambda: all(asking.answers()), 60)
    yield asking
    asking.kill()


def flip(store: Store, times: int) -> list[tuple[float, int]]:
    """Let the pairs take turns; returns when each move was acknowledged, and its epoch."""
    moves = []
    for number in range(times):
        done = store.promote(list(SPECS)[number % 2], reason="flip")
        moves.append((time.monotonic(), done.epoch))
        assert done.searchers.acknowledged == done.searchers.expected == SEARCHERS, done.searchers
    return moves


def assert_never_behind(store: Store, answers: list[dict[str, Any]], moves: list[tuple[float, int]]) -> None:
    """Every answer is of its epoch's pair, and none is older than a move that was acknowledged before it began."""
    targets = {move.epoch: move.target.partition("@")[0] for move in store.history(alias="live")}
    for answer in answers:
        assert answer["pair"] == targets[answer["epoch"]]
        acknowledged = max((epoch for at, epoch in moves if at < answer["begun"]), default=0)
        assert answer["epoch"] >= acknowledged


def assert_exact(answers: list[dict[str, Any]]) -> None:
    wanted = {(name, query): exact(spec, TEXTS, query) for name, spec in SPECS.items() for query in QUERIES}
    for answer in answers:
        exactly = wanted[answer["pair"], answer["query"]]
        assert answer["scores"].keys() == exactly.keys()
        assert max(abs(score - exactly[id_]) for id_, score in answer["scores"].items()) < TOLERANCE


@pytest.mark.parametrize("flips", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_story_under_traffic_fails_no_query_and_answers_none_from_a_pair_that_was_left(
    flips: int, store: Store, traffic: Traffic
) -> None:
    moves = flip(store, flips)
    unchanged = time.monotonic() - 1  # answers that began later may show what is written now
    texts = {**TEXTS, "d1": "bread and nothing else", "new": "a boat"}
    store.upsert([Document("d1", texts["d1"]), Document("new", texts["new"]), Document("gone", "a lake")])
    store.delete(["gone"])
    for move in (
        store.rollback(reason="the story"),
        store.restore("two@1", reason="the story"),
        store.restore("one@1", reason="the story"),
    ):
        assert move.trouble == ""
        assert move.report is not None
        assert_passes(move.report)
    moves.append((time.monotonic(), move.epoch))
    assert store.catch_up("two").lag == 0
    assert_passes(store.check("two", sample=EVERY_ROW))
    assert_serves(store, texts)
    wait_for(
        "answers of the last epoch", lambda: all(answers[-1]["epoch"] == move.epoch for answers in traffic.answers())
    )
    heard = traffic.stop()
    assert len(heard) > flips
    assert heard[-1]["epoch"] == move.epoch
    assert_never_behind(store, heard, moves)
    assert_exact([answer for answer in heard if answer["begun"] < unchanged])


def test_processes_share_the_store_and_a_wrong_catalog_is_refused(store: Store, url: str, tmp_path: Path) -> None:
    done = start("status", "--json", "--store", str(store.root), "--catalog", url, module="vecrollback")
    said, errors = done.communicate(timeout=60)
    assert done.returncode == 0, errors
    assert json.loads(said)["alias"]["live"]["pair"] == "two"
    done = start("status", "--json", "--store", str(store.root), module="vecrollback")
    assert json.loads(done.communicate(timeout=60)[0])["error"]["type"] == "CatalogMismatchError"
    assert done.returncode == 3
    assert not list(store.root.glob("catalog.db*"))


class TestServerGoes:
    """Each test has a server that it may end."""

    @pytest.fixture
    def server(self) -> Iterator[PostgresServer]:
        if not available():
            pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
        with running() as own:
            yield own

    @pytest.mark.parametrize("ending", ["kill", "stop"])
    def test_queries_go_on_and_say_so_moves_fail_and_everything_comes_back(
        self, ending: str, server: PostgresServer, store: Store, url: str, traffic: Traffic
    ) -> None:
        history = store.history()
        with store.searcher() as searcher:
            known = searcher.search(QUERIES[0])
            assert known.current
            getattr(server, ending)()
            ended = time.monotonic()
            result = searcher.search(QUERIES[0])
            assert (result.current, result.epoch, result.hits) == (False, known.epoch, known.hits)
            for move in (lambda: store.rollback(reason="away"), lambda: store.upsert([Document("x", "y")])):
                with pytest.raises(CatalogUnavailableError) as refused:
                    move()
                assert "server" in refused.value.hint
            wait_for(
                "answers after the end of the server",
                lambda: all(part[-1]["begun"] > ended + 1 for part in traffic.answers()),
            )
            server.start()
            wait_for("current answers", lambda: searcher.search(QUERIES[0]).current)
            assert store.history() == history
            assert store.get(["x"]) == {}
            wait_for("all searchers to be back", lambda: len(store.status()["searchers"]) == SEARCHERS + 1)
            moved = store.rollback(reason="it is back", catch_up=False)
            assert moved.searchers.acknowledged == moved.searchers.expected == SEARCHERS + 1
            assert searcher.search(QUERIES[0]).epoch == moved.epoch
        wait_for(
            "answers of the last epoch", lambda: all(part[-1]["epoch"] == moved.epoch for part in traffic.answers())
        )
        assert_never_behind(store, traffic.stop(), [(time.monotonic(), moved.epoch)])
        assert store.upsert([Document("x", "a boat")]).head == len(TEXTS) + 1

    def test_server_killed_again_and_again_under_a_writer_loses_and_doubles_nothing(
        self, server: PostgresServer, store: Store
    ) -> None:
        acknowledged: dict[str, str] = {}
        stop = threading.Event()

        def write() -> None:
            for number in range(10**6):
                if stop.is_set():
                    return
                id_, text = f"w{number % 7}", f"version {number} of a boat on a lake"
                while not stop.is_set():
                    try:
                        store.upsert([Document(id_, text)])
                    except VecrollbackError:
                        time.sleep(0.02)
                    else:
                        acknowledged[id_] = text
                        break

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(3):
            time.sleep(0.7)
            server.kill()
            server.start()
        before = len(acknowledged)
        wait_for("another write", lambda: len(acknowledged) >= before)
        stop.set()
        writer.join(timeout=60)
        assert not writer.is_alive()
        assert len(acknowledged) == 7
        store.delete(["nobody"])  # a writer, which takes in what the one that was cut off had written
        head = int(store.status()["corpus"]["head"])
        store.upsert([Document(id_, text) for id_, text in acknowledged.items()])
        assert int(store.status()["corpus"]["head"]) <= head + 1, "only the write that was cut off may differ"
        store.catch_up("two")
        assert_passes(store.check("two", sample=EVERY_ROW))
        assert_serves(store, TEXTS | acknowledged)

    def test_hung_server_is_given_up_within_seconds(self, server: PostgresServer, store: Store) -> None:
        with store.searcher(follow=False) as searcher:
            known = searcher.search(QUERIES[0])
            children = subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True, text=True, check=True)
            processes = [str(server.pid), *children.stdout.split()]
            subprocess.run(["kill", "-STOP", *processes], check=True)
            try:
                begun = time.monotonic()
                result = searcher.search(QUERIES[0])
                assert (result.current, result.epoch) == (False, known.epoch)
                assert time.monotonic() - begun < 15
            finally:
                subprocess.run(["kill", "-CONT", *processes], check=True)
            wait_for("current answers", lambda: searcher.search(QUERIES[0]).current)
