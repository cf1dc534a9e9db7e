"""What do callers notice when the live pair's model dies under load, and when it comes back?

A service process embeds the queries of the live pair; four searchers answer, each asked ten times a second by a thread
of its own, late answers counting from when they were due. Then the service is killed with SIGKILL, or stopped with
SIGSTOP so that connections hang. `[serving] fallback` names what answers instead; then the service is there again.
Aim: no query fails, p99 under 1.5 s, every answer says what it came from.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import common

from vecrollback import Document, Result, Store, connect
from vecrollback.serving.searcher import Searcher

_SEARCHERS, _EVERY = 4, 0.1
_SERVICE = """
import sys
from tests.support.openai_server import OpenAIServer
with OpenAIServer(256, port=int(sys.argv[1])) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


def main() -> None:
    options = common.options(__doc__)
    os.environ["VECROLLBACK_TRUST"] = "*"  # the service of this benchmark
    documents, seconds = (250, 2.0) if options.small else (3_000, 20.0)
    found: dict[str, Any] = {}
    for step in ("standby", "bridge"):
        for way in ("killed", "stopped"):
            found[f"{step}, {way}"] = row = _measured(step, way, documents, seconds)
            print(step, way, row, flush=True)
    common.conclude("model_gone", found, small=options.small)


def _measured(step: str, way: str, documents: int, seconds: float) -> dict[str, Any]:
    service = _Service()
    with common.workspace(None) as folder:
        spec = f"openai:m?base_url=http://127.0.0.1:{service.port}/v1"
        with connect(folder / "store", create=True) as store:
            rows = common.rows(documents)
            store.upsert(Document(row.id, row.whole) for row in rows)
            for name, model in (("old", "hash:256?seed=1"), ("new", spec)):
                store.reembed(model, name=name, index="Flat").wait()
                store.promote(name)
            (store.root / "vecrollback.toml").write_text(f'[serving]\nfallback = ["{step}"]\n')
            load = _Load(store)
            try:
                alive = load.answers(seconds)
                service.end(way)
                gone = load.answers(seconds)
                service.begin(way)
                back = load.answers(seconds)
            finally:
                load.close()
                service.close()
    return {name: _told(part) for name, part in (("alive", alive), ("gone", gone), ("back", back))}


def _told(answers: list[tuple[float, str]]) -> dict[str, Any]:
    taken = [seconds for seconds, _ in answers]
    return {
        "answers": len(answers),
        "by": dict(Counter(by for _, by in answers)),
        "p50_ms": round(common.percentile(taken, 50) * 1000, 1),
        "p99_ms": round(common.percentile(taken, 99) * 1000, 1),
        "worst_ms": round(max(taken) * 1000, 1),
    }


class _Load:
    """Searchers that are asked at a steady rate."""

    def __init__(self, store: Store) -> None:
        self._queries = common.queries(200)
        self._searchers = [store.searcher() for _ in range(_SEARCHERS)]
        for searcher in self._searchers:
            searcher.search(self._queries[0])
        self._stop = threading.Event()
        self._answers: list[tuple[float, str]] = []
        self._threads = [threading.Thread(target=self._ask, args=(one,)) for one in self._searchers]
        for thread in self._threads:
            thread.start()

    def answers(self, seconds: float) -> list[tuple[float, str]]:
        """Seconds and origin of each answer of the next seconds."""
        first = len(self._answers)
        time.sleep(seconds)
        return self._answers[first:]

    def _ask(self, searcher: Searcher) -> None:
        due, number = time.perf_counter(), 0
        while not self._stop.is_set():
            try:
                result: Result = searcher.search(self._queries[number % len(self._queries)])
                by = result.answered_by
            except Exception as error:
                by = f"failed: {type(error).__name__}"  # type: ignore[assignment]
            self._answers.append((time.perf_counter() - due, by))
            due, number = due + _EVERY, number + 1
            time.sleep(max(0.0, due - time.perf_counter()))

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for searcher in self._searchers:
            searcher.close()


class _Service:
    """An embedding service in a process of its own."""

    def __init__(self) -> None:
        self.port = 0
        self._start()

    def _start(self) -> None:
        root = Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVICE, str(self.port)],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def end(self, way: str) -> None:
        self._process.send_signal(signal.SIGKILL if way == "killed" else signal.SIGSTOP)

    def begin(self, way: str) -> None:
        if way == "killed":
            self._process.wait()
            self._start()
        else:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    main()
