"""Is a bad pair rolled back in time wherever the clients sit: on one worker of many, on another host, or nowhere?

`vecrollback serve` with a policy whose metric compares the answers of the live pair with those of the standby. In each
run a bad pair is promoted, and the time to the policy's rollback is taken from the two moves of the history.

`2`, `4`, `8`: so many workers; two clients, all on one worker that does not watch, and no golden query is asked.
`host`: the server that watches gets no query; the clients ask another one, with another host name where the system
lets one have it, over one catalog in PostgreSQL. `probe`: nobody asks but the server itself, by golden queries.
Aim: within three intervals in 20 of 20 runs of each side.

`--keep FOLDER` adds the runs to those of earlier calls; `--runs N` says how many there are to be made now.
"""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import common

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support import postgres
from vecrollback import Document, Store, connect

_INTERVAL = 5.0
_POLICY = """
[policy]
interval = '{interval}s'
bake = '1ms'
probe = {probe}
[[policy.metric]]
source = 'standout'
"""
_TOPICS = ("boats", "lake", "bread", "harbour")
_QUERIES = [f"{n} on the {_TOPICS[n % 4]} {n * 7}" for n in range(200)]
_SIDES = ("2", "4", "8", "host", "probe")


def main() -> None:
    parser = common.parser(__doc__, _SIDES)
    parser.add_argument("--runs", type=int, default=20, metavar="N", help="of each side, now; 20 unless it is said")
    options = parser.parse_args()
    sides, runs = (["2"], 1) if options.small else (options.only, options.runs)
    measured: dict[str, Any] = {}
    with common.workspace(options.keep) as folder:
        for side in sides:
            if side == "host" and not postgres.available():
                print("host: left out, there is no PostgreSQL", file=sys.stderr, flush=True)
                continue
            record = folder / f"runs-{side}.jsonl"
            with record.open("a") as file:
                for run in _runs(side, runs, folder):
                    print(f"{side}: {run}", file=sys.stderr, flush=True)
                    file.write(json.dumps(run) + "\n")
                    file.flush()
            measured[side] = _summary([json.loads(line) for line in record.read_text().splitlines()])
            print(f"{side}: {measured[side]}", flush=True)
    common.conclude("blind_spots", measured, small=options.small, corpus="synthetic: 200 short texts")


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    intervals = [run["intervals"] for run in runs]
    return {
        "runs": len(runs),
        "within_three_intervals": sum(one <= 3 for one in intervals),
        "median_intervals": round(common.middle(intervals), 2),
        "longest_intervals": round(max(intervals), 2),
        "bad_answers_median": common.middle([run["answers"] for run in runs]),
    }


def _runs(side: str, count: int, folder: Path) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        place, catalog = folder / f"store-{side}", None
        shutil.rmtree(place, ignore_errors=True)
        if side == "host":
            catalog = stack.enter_context(postgres.running()).url()
        store = stack.enter_context(connect(place, catalog=catalog, create=True))
        _build(store, probe=side == "probe")
        workers = int(side) if side.isdecimal() else 1
        port = stack.enter_context(_server(place, catalog, workers))
        leader = _leader(store)
        if side == "host":
            port = stack.enter_context(_server(place, catalog, workers, elsewhere=True))
        _await(lambda: len(_searchers(store)) == (2 if side == "host" else workers))
        others = sorted(pid for pid in _searchers(store) if pid != leader)
        for number in range(count):
            bad = store.reembed(f"hash:8?seed={number + 3}", name=f"bad{number}", index="Flat").wait()
            if side == "probe":
                yield _measured(store, bad.name, leader)
                continue
            with _asking(others[number % len(others)], port):
                yield _measured(store, bad.name, leader)


def _build(store: Store, *, probe: bool) -> None:
    """`good` is live: every promote of a bad pair makes it the standby that the policy compares with."""
    store.upsert(Document(f"d{n}", f"note {n} on the {_TOPICS[n % 4]}, {n * 7} of them") for n in range(200))
    store.promote(store.reembed("hash:256?seed=1", name="good", index="Flat").wait(), reason="a benchmark")
    if probe:
        for query in _QUERIES[:80]:
            store.golden.add(query)
    policy = _POLICY.format(interval=_INTERVAL, probe=str(probe).lower())
    Path(store.root, "vecrollback.toml").write_text(policy)


def _measured(store: Store, bad: str, leader: int) -> dict[str, Any]:
    """Promote a bad pair, wait until the policy has rolled it back and proven it; how long that took."""
    time.sleep(_INTERVAL * 0.37)  # so that runs do not all begin at the same moment of an interval
    store.promote(bad, reason="a benchmark")
    _await(lambda: store.status()["alias"]["live"]["pair"] == "good")
    _await(lambda: store.incidents.all(limit=1)[0].verdict is not None)
    assert _leader(store) == leader, "another process watches now"
    back, forward = store.history(alias="live", limit=2)
    assert (back.kind, back.actor, forward.kind) == ("rollback", "policy", "promote"), (back, forward)
    seconds = (datetime.fromisoformat(back.at) - datetime.fromisoformat(forward.at)).total_seconds()
    said = {one["metric"]: one["said"] for one in store.measurements.standing("live")}
    answers = store.incidents.all(limit=1)[0].blast.answers
    return {"intervals": round(seconds / _INTERVAL, 3), "answers": answers, "said": said["standout"]}


# -- who serves, and who asks -----------------------------------------------------------------------------------------


@contextmanager
def _server(place: Path, catalog: str | None, workers: int, *, elsewhere: bool = False) -> Iterator[int]:
    """The port of a server; `elsewhere`: of one whose host has another name."""
    command = [sys.executable, "-m", "vecrollback", "serve", "--port", "0", "--json", "--workers", str(workers)]
    command += ["--store", str(place), *(["--catalog", catalog] if catalog else [])]
    if elsewhere and _may_rename():
        command = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh", *command]
    with (
        (place.parent / "server.log").open("a") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            yield common.announced_port(process)
        finally:
            process.terminate()


def _may_rename() -> bool:
    command = ["unshare", "--uts", "hostname", "elsewhere"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


@contextmanager
def _asking(worker: int, port: int) -> Iterator[None]:
    """Two clients on connections to this process alone."""
    over = threading.Event()

    def ask(queries: Sequence[str]) -> None:
        connection = common.connected_to(worker, port)
        for query in itertools.cycle(queries):
            if over.is_set():
                break
            body = json.dumps({"query": query})
            connection.request("POST", "/v1/search", body, {"Content-Type": "application/json"})
            with suppress(http.client.HTTPException):
                connection.getresponse().read()
            time.sleep(0.01)
        connection.close()

    threads = [threading.Thread(target=ask, args=(_QUERIES[half::2],)) for half in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _leader(store: Store) -> int:
    """The process that watches: once it has measured, it says so."""
    _await(lambda: store.measurements.standing("live"))
    newest = max(store.measurements.standing("live"), key=lambda one: one["at"])
    return int(newest["by"].rpartition(":")[2])


def _searchers(store: Store) -> list[int]:
    return [one["pid"] for one in store.status()["searchers"]]


def _await(reached: Any) -> None:
    until = time.monotonic() + 120
    while not reached():
        if time.monotonic() > until:
            raise SystemExit("it did not come within two minutes")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
