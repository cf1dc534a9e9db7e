"""How long does a rollback take, up to the last searcher's acknowledgement, as the corpus grows?

Two searcher processes follow `live` and query all the time. `live` goes forward by `restore` and back by `rollback`, as
often as asked for. Aims: the median at 1,000,000 vectors under 1.5 times that at 10,000, and under 50 ms. Texts are
synthetic (six random words each), the embedders hashing ones of 32 dimensions: what grows is the index and the log.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import common

from vecrollback import Document, Store, connect

_OLD, _NEW = "hash:32?seed=1", "hash:32?seed=2"
_INDEX = "IVF256,SQ8"
_SEARCHERS = 2
_BATCH = 100_000
_QUERY_PAUSE = 0.005
_SETTLE = (0.3, 0.9)
_WORDS = [f"{n * 7919 % 10_000:04d}word" for n in range(5_000)]

Answers: TypeAlias = "Queue[tuple[int, int, float]]"
"""(searcher, epoch, when its first answer of that epoch was there, on the monotonic clock that all processes share)."""


class Flip(NamedTuple):
    """Milliseconds: switch with acknowledgements; whole call; until every searcher answered from the older pair."""

    switch_ms: float
    call_ms: float
    first_answer_ms: float


def main() -> None:
    options = common.options(__doc__)
    sizes, passes, flips = ((300, 2_000), 1, 2) if options.small else ((10_000, 100_000, 1_000_000), 3, 7)
    taken: dict[int, list[Flip]] = {size: [] for size in sizes}
    with common.workspace(options.keep) as root:
        for size in sizes:
            _build(root / f"rollback-{size}", size)
        for number in range(passes):  # all sizes in turn, so that a busy minute of the machine meets each
            for size in common.turned(sizes, number):
                taken[size] += _measure(root / f"rollback-{size}", flips)
    measured: dict[str, Any] = {"index": _INDEX, "searchers": _SEARCHERS, "flips": passes * flips}
    measured |= {str(size): _told(size, flips) for size, flips in taken.items()}
    first, last = (measured[str(size)] for size in (sizes[0], sizes[-1]))
    for kind in ("switch_ms", "first_answer_ms"):
        measured[f"{kind}_growth"] = round(last[kind] / first[kind], 3)
        print(f"{kind}, {sizes[-1]:,} to {sizes[0]:,} vectors: {measured[f'{kind}_growth']:.2f}")
    common.conclude("rollback", measured, small=options.small, corpus="synthetic: six random words each")


def _measure(root: Path, flips: int) -> list[Flip]:
    with connect(root) as store, _searchers(root) as answers:
        return [_flip(store, answers) for _ in range(flips)]


def _told(size: int, taken: list[Flip]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, values in zip(Flip._fields, zip(*taken, strict=True), strict=True):
        numbers |= {name: round(common.middle(values), 2), f"{name}_p90": round(common.percentile(values, 90), 2)}
    print(f"{size:,} vectors: " + ", ".join(f"{name} {value:.1f}" for name, value in numbers.items()), flush=True)
    return numbers


def _flip(store: Store, answers: Answers) -> Flip:
    """Forward, then the rollback that is measured."""
    forward = store.restore("new@1", reason="benchmark: forward", catch_up=False)
    _await(answers, forward.epoch)
    time.sleep(random.uniform(*_SETTLE))  # searchers beat once a second: meet them anywhere in it
    started = time.monotonic()
    switched = store.rollback(reason="benchmark: back", catch_up=False)
    ended = time.monotonic()
    assert (switched.searchers.expected, switched.searchers.acknowledged) == (_SEARCHERS, _SEARCHERS)
    assert switched.target == "old@1"
    seen = _await(answers, switched.epoch)
    return Flip(switched.switch_ms, 1000 * (ended - started), 1000 * (seen - started))


def _await(answers: Answers, epoch: int) -> float:
    """When the last searcher had an answer of this epoch."""
    seen: dict[int, float] = {}
    while len(seen) < _SEARCHERS:
        searcher, found, at = answers.get(timeout=60)
        if found == epoch:
            seen[searcher] = at
    return max(seen.values())


@contextmanager
def _searchers(root: Path) -> Iterator[Answers]:
    context = multiprocessing.get_context("spawn")
    stop, answers = context.Event(), context.Queue()
    processes = [context.Process(target=_read, args=(root, number, answers, stop)) for number in range(_SEARCHERS)]
    for process in processes:
        process.start()
    try:
        for _ in processes:
            answers.get(timeout=120)
        time.sleep(2)  # by now they hold the other pair open too
        yield answers
    finally:
        stop.set()
        for process in processes:
            process.join()


def _read(root: Path, number: int, answers: Answers, stop: Event) -> None:
    words = random.Random(number)
    epoch = 0
    with connect(root) as store, store.searcher() as searcher:
        while not stop.is_set():
            result = searcher.search(_text(words), k=10)
            if result.epoch != epoch:
                epoch = result.epoch
                answers.put((number, epoch, time.monotonic()))
            time.sleep(_QUERY_PAUSE)


def _build(root: Path, size: int) -> None:
    with connect(root, create=True) as store:
        if store.status()["alias"]:
            return
        words, started = random.Random(0), time.perf_counter()
        for first in range(0, size, _BATCH):
            store.upsert(Document(str(n), _text(words)) for n in range(first, min(size, first + _BATCH)))
        for name, embedder in (("old", _OLD), ("new", _NEW)):
            store.reembed(embedder, name=name, index=_INDEX, recall_floor=0.5).wait()
            store.promote(name, reason="benchmark")
        store.rollback(reason="benchmark", catch_up=False)
        print(f"{size:,} vectors: written and two pairs built in {time.perf_counter() - started:.0f} s", flush=True)


def _text(words: random.Random) -> str:
    return " ".join(words.choices(_WORDS, k=6))


if __name__ == "__main__":
    main()
