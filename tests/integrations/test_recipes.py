"""The services of the how-to pages, as they stand there: four processes, moved beneath under load.

No request fails, and no answer mixes two pairs.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.http_server import NO_TLS, QUERIES, V1, V2, build
from tests.support.waiting import wait_for
from vecrollback import Store, connect

ROOT = Path(__file__).parents[2]


def write_service(page: str, folder: Path) -> None:
    """Run the block of a page that writes `service.py`."""
    text = (ROOT / "docs" / "how-to" / page).read_text()
    [block] = [one for one in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "service.py" in one]
    subprocess.run([sys.executable, "-c", block], cwd=folder, check=True, timeout=60)


@contextmanager
def running(folder: Path, workers: int) -> Iterator[str]:
    """The address of the service, with so many processes."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{folder}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "uvicorn", "service:app", "--workers", str(workers), "--port", "0"]
    # Importing a framework takes longer on a busy machine than the 5 s after which uvicorn begins a worker anew.
    command += ["--timeout-worker-healthcheck", "300"]
    path = folder / "log"
    with path.open("w") as log, subprocess.Popen(command, cwd=folder, env=environment, stderr=log) as process:
        try:
            wait_for("the port", lambda: "running on http" in path.read_text(), 300)
            yield re.findall(r"running on (\S+)", path.read_text())[0]
        finally:
            process.terminate()
            process.wait(60)
            print(path.read_text())  # shown where the test fails


class Load:
    """Threads that ask all the time, and what they were answered. Each request is a connection of its own."""

    def __init__(self, url: str, threads: int = 4) -> None:
        self._url, self._stop = url, threading.Event()
        self.answers: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        for question in itertools.cycle(QUERIES[number:] + QUERIES[:number]):
            if self._stop.is_set():
                return
            try:
                asked = {"question": question}
                response = httpx.get(f"{self._url}/ask", params=asked, timeout=30, verify=NO_TLS)
                response.raise_for_status()
                self.answers.append((question, response.json()))
            except httpx.HTTPError as error:
                self.failures.append(repr(error))

    def more(self, count: int) -> None:
        """Wait for so many more answers."""
        before = len(self.answers)
        wait_for("answers", lambda: len(self.answers) >= before + count or self.failures, 60)


def moved_beneath(store: Store, load: Load, moves: int) -> list[str]:
    """Promote and roll back in turns while questions come; returns each pair that served."""
    served = [store.live().name]
    for number in range(moves):
        load.more(40)
        if number % 2:
            moved = store.promote("v2", reason="once more", override=True)
        else:
            moved = store.rollback(reason="no better", catch_up=False)
        served.append(moved.target.split("@")[0])
        assert not moved.searchers.missing
    load.more(40)
    return served


@pytest.mark.parametrize(
    ("page", "workers", "moves"),
    [
        pytest.param("langchain.md", 4, 4, marks=pytest.mark.slow),
        pytest.param("haystack.md", 4, 4, marks=pytest.mark.slow),
        pytest.param("llama-index.md", 4, 4, marks=pytest.mark.slow),
        ("langchain.md", 2, 1),
    ],
)
def test_a_service_survives_moves_with_no_failed_and_no_mixed_answer(
    tmp_path: Path, page: str, workers: int, moves: int
) -> None:
    build(tmp_path / "notes", V1, V2)
    write_service(page, tmp_path)
    with running(tmp_path, workers) as url, connect(tmp_path / "notes", actor="keeper") as store:
        wait_for("every process", lambda: len(store.status()["searchers"]) == workers, 600)
        expected = {
            pair: {query: [hit.id for hit in store.inspection.search(pair, query, 3).hits] for query in QUERIES}
            for pair in ("v1", "v2")
        }
        assert expected["v1"] != expected["v2"]
        with Load(url) as load:
            served = moved_beneath(store, load, moves)
    assert load.failures == []
    epochs: Counter[tuple[str, int]] = Counter()
    for question, answer in load.answers:
        origins = {(facts["pair"], facts["epoch"]) for facts in answer["found_by"]}
        assert len(origins) == 1, answer
        [(pair, epoch)] = origins
        assert pair == served[epoch - 2], answer
        assert answer["ids"] == expected[pair][question]
        epochs[pair, epoch] += 1
    assert len(epochs) == moves + 1, epochs
