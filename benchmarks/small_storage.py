"""Does a store stay small, and as fast as at first, through thousands of catch-ups of one document each?

Each round writes one document, catches the live pair up and asks a query; a snapshot is taken and a prune made now and
then, as a worker and people do. Then the same content is built anew in another store. Aims: files and bytes within 3
times of the fresh build's; the last hundred writes, catch-ups and queries at most 1.2 times the first hundred, in
processor time of the whole process, for the clock measures the neighbours too. Processor time grows with the
neighbours' use of the caches as well, so the last hundred rounds are run in turns with the first hundred of a young
store: the ratio that counts is of these two; the one to the store's own first hundred is told beside it. Texts are
synthetic (twelve words each), the embedder is a hashing one: what is measured is the storage. A tenth of the rounds
changes a document that is there, the others bring new ones.

With `--keep FOLDER --minutes N` the run ends after so many minutes and goes on from there when it is started again.
`--every SECONDS`: a round no sooner than so long after the one before, as a service writes; else one after another.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import common

from vecrollback import Document, Searcher, Store, connect
from vecrollback.pairs.compaction import Compactor
from vecrollback.records import RetentionRules

_EMBEDDER = "hash:64"
_FIRST = 50
_PART = 100
"""Rounds at the beginning and at the end that are compared: the median of each."""
_TIDIED = 500
_STEPS = ("write", "catch_up", "search")
_WORDS = [f"{n * 7919 % 10_000:04d}word" for n in range(5_000)]


class Life:
    """A store that lives through rounds; what each took lies in a file beside it, so that another process goes on.

    Of every round: milliseconds of the processor for each step, for all of them (`round`), and by the clock.
    """

    def __init__(self, root: Path, store: Store, searcher: Searcher) -> None:
        self._root = root
        self._store = store
        self._searcher = searcher
        self._file = _times_of(root)
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self.rounds: list[dict[str, float]] = [json.loads(line) for line in lines]

    @classmethod
    @contextmanager
    def open(cls, root: Path) -> Iterator[Life]:
        with connect(root, create=True) as store:
            if not store.pairs():
                store.upsert([Document(f"d{n}", _text(random.Random(f"first {n}"))) for n in range(_FIRST)])
                store.promote(store.reembed(_EMBEDDER, name="v1").wait(), reason="the first")
            with store.searcher() as searcher:
                yield cls(root, store, searcher)

    def live_one_round(self) -> None:
        number = len(self.rounds)
        chance = random.Random(number)
        known = _FIRST + number
        place = chance.randrange(known) if number % 10 == 9 else known
        document = Document(f"d{place}", text := _text(chance))
        began = time.perf_counter()
        moments = [time.process_time()]
        self._store.upsert([document])
        moments.append(time.process_time())
        self._store.catch_up("v1")
        moments.append(time.process_time())
        self._searcher.search(text, k=10)
        moments.append(time.process_time())
        taken = dict(zip(_STEPS, [b - a for a, b in pairwise(moments)], strict=True))
        taken |= {"round": moments[-1] - moments[0], "clock": time.perf_counter() - began}
        self.rounds.append({step: round(1e3 * seconds, 3) for step, seconds in taken.items()})
        with self._file.open("a") as file:
            file.write(json.dumps(self.rounds[-1]) + "\n")
        if number % _TIDIED == _TIDIED - 1:
            self._tidy()

    def _tidy(self) -> None:
        self._store.snapshot("v1")
        self._store.retention.apply(self._store.retention.plan(RetentionRules(2, cool_down=0)))
        self._store.retention.tidy()
        size = _size(self._root)
        times = ", ".join(f"{step} {ms:.2f} ms" for step, ms in _medians(self.rounds[-_TIDIED:]).items())
        print(
            f"after {len(self.rounds):,} rounds: {size['files']:,} files, {size['bytes']:,} bytes; {times}", flush=True
        )

    def end(self) -> dict[str, int]:
        """What a worker does when readers of a moment are done: here without waiting those two minutes."""
        self._store.retention.apply(self._store.retention.plan(RetentionRules(1, cool_down=0)))
        Compactor(self._store.resources, age=0).run()
        assert self._store.check("v1").verdict == "pass"
        return _size(self._root)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="with --keep: end, to be gone on with")
    parser.add_argument("--every", type=float, default=0.0, metavar="SECONDS", help="from one round to the next")
    options = parser.parse_args()
    rounds = 100 if options.small else options.rounds
    until = time.monotonic() + 60 * options.minutes
    with common.workspace(options.keep) as root:
        measured = _measured(root, rounds, until, _paced(options.every))
    if measured is not None:
        common.conclude("small_storage", measured, small=options.small, corpus="synthetic: twelve random words each")


def _paced(every: float) -> Callable[[], None]:
    """What waits, at each call, until so many seconds have gone by since the call before."""
    due = time.monotonic()

    def wait() -> None:
        nonlocal due
        time.sleep(max(0.0, due - time.monotonic()))
        due = time.monotonic() + every

    return wait


def _measured(root: Path, rounds: int, until: float, wait: Callable[[], None]) -> dict[str, Any] | None:
    part = min(_PART, max(1, rounds // 10))
    with Life.open(root / "grown") as grown:
        while len(grown.rounds) < rounds - part:
            if time.monotonic() > until:
                print(f"{len(grown.rounds):,} of {rounds:,} rounds; start again to go on")
                return None
            wait()
            grown.live_one_round()
        with Life.open(root / "young") as young:
            while len(grown.rounds) < rounds:
                wait()
                for life in common.turned([grown, young], len(grown.rounds)):
                    life.live_one_round()
        own, size = grown.rounds, grown.end()
        measured: dict[str, Any] = {"rounds": rounds, **size}
        sides = {"first": own[:part], "young": young.rounds[-part:], "last": own[-part:]}
        for step in own[-1]:
            first, beside, last = (_medians(side)[step] for side in sides.values())
            measured |= {f"{step}_ms_{side}": _medians(taken)[step] for side, taken in sides.items()}
            measured |= {f"{step}_growth": round(last / beside, 3), f"{step}_growth_to_first": round(last / first, 3)}
            print(
                f"{step}: {last:.2f} ms at last, of a young store in turns with it {beside:.2f}: {last / beside:.2f};"
            )
            print(f"  at first {first:.2f}: {last / first:.2f}")
    for kind, fresh in _build(root / f"fresh-{rounds}", root / "grown").items():
        measured |= {f"{kind}_of_fresh": fresh, f"{kind}_ratio": round(size[kind] / fresh, 3)}
        print(f"{kind}: {size[kind]:,}, of a fresh build {fresh:,}: {size[kind] / fresh:.2f}")
    return measured


def _text(chance: random.Random) -> str:
    return " ".join(chance.sample(_WORDS, 12))


def _times_of(root: Path) -> Path:
    return root.with_suffix(".rounds.jsonl")


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {step: round(median(taken[step] for taken in rounds), 3) for step in rounds[0]}


def _build(root: Path, origin: Path) -> dict[str, int]:
    with connect(origin) as grown, connect(root, create=True) as store:
        corpus = grown.resources.corpus
        ids = [i for batch in corpus.scan(corpus.state().version, columns=["id"]) for i in batch["id"].to_pylist()]
        store.upsert(grown.get(ids).values())
        store.promote(store.reembed(_EMBEDDER, name="v1").wait(), reason="the first")
        store.search("a word", k=1)  # so that what is derived for answering lies in both
    return _size(root)


def _size(root: Path) -> dict[str, int]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


if __name__ == "__main__":
    main()
