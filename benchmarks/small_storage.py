"""Does a store stay small, and as fast as at first, through thousands of catch-ups of one document each?

Each round writes one document and catches the live pair up; a query is asked after each, a snapshot taken and a prune
made now and then, as a worker and people do. Then the same content is built anew in another store. Aims: files and
bytes within 3 times of the fresh build's; the last hundred writes, catch-ups and queries at most 1.2 times the first
hundred, in processor time of the whole process, for the clock measures the neighbours too. Texts are synthetic
(twelve words each), the embedder is a hashing one: what is measured is the storage. A tenth of the rounds changes a
document that is there, the others bring new ones.
"""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import common

from vecrollback import Document, Store, connect
from vecrollback.pairs.compaction import Compactor
from vecrollback.records import RetentionRules

_EMBEDDER = "hash:64"
_FIRST = 50
_PART = 100
"""Rounds at the beginning and at the end that are compared: the median of each."""
_WORDS = [f"{n * 7919 % 10_000:04d}word" for n in range(5_000)]


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    options = parser.parse_args()
    rounds = 100 if options.small else options.rounds
    with common.workspace(options.keep) as root:
        grown = _grow(root / "grown", rounds)
        fresh = _build(root / "fresh", root / "grown")
    measured: dict[str, Any] = {"rounds": rounds, **grown}
    for kind in ("files", "bytes"):
        measured[f"{kind}_of_fresh"] = fresh[kind]
        measured[f"{kind}_ratio"] = round(grown[kind] / fresh[kind], 3)
        print(f"{kind}: {grown[kind]:,}, of a fresh build {fresh[kind]:,}: {measured[f'{kind}_ratio']:.2f}")
    for kind in ("write", "catch_up", "search", "round"):
        first, last = grown[f"{kind}_ms_first"], grown[f"{kind}_ms_last"]
        measured[f"{kind}_growth"] = round(last / first, 3)
        print(f"{kind}: {first:.2f} ms at first, {last:.2f} ms at last: {last / first:.2f}")
    common.conclude("small_storage", measured, small=options.small, corpus="synthetic: twelve random words each")


def _text(chance: random.Random) -> str:
    return " ".join(chance.sample(_WORDS, 12))


def _grow(root: Path, rounds: int) -> dict[str, Any]:
    chance = random.Random(1)
    taken: dict[str, list[float]] = {"write": [], "catch_up": [], "search": [], "round": []}
    with connect(root, create=True) as store:
        store.upsert([Document(f"d{n}", _text(chance)) for n in range(_FIRST)])
        store.promote(store.reembed(_EMBEDDER, name="v1").wait(), reason="the first")
        with store.searcher() as searcher:
            for number in range(rounds):
                known = _FIRST + number
                place = chance.randrange(known) if number % 10 == 9 else known
                document = Document(f"d{place}", text := _text(chance))
                moments = [time.process_time()]
                store.upsert([document])
                moments.append(time.process_time())
                store.catch_up("v1")
                moments.append(time.process_time())
                searcher.search(text, k=10)
                moments.append(time.process_time())
                for kind, (begin, end) in zip(taken, [*pairwise(moments), (moments[0], moments[-1])], strict=True):
                    taken[kind].append(end - begin)
                if number % 500 == 499:
                    store.snapshot("v1")
                    store.retention.apply(store.retention.plan(RetentionRules(2, cool_down=0)))
                    store.retention.tidy()
                    _say_how_far(root, number + 1, taken)
        # What a worker does when readers of a moment are done: here without waiting those two minutes.
        store.retention.apply(store.retention.plan(RetentionRules(1, cool_down=0)))
        Compactor(store.resources, age=0).run()
        assert store.check("v1").verdict == "pass"
    part = min(_PART, max(1, rounds // 10))
    growth = {f"{name}_ms_first": 1e3 * median(seconds[:part]) for name, seconds in taken.items()}
    growth |= {f"{name}_ms_last": 1e3 * median(seconds[-part:]) for name, seconds in taken.items()}
    return _size(root) | {name: round(value, 3) for name, value in growth.items()}


def _say_how_far(root: Path, number: int, taken: dict[str, list[float]]) -> None:
    size = _size(root)
    times = ", ".join(f"{kind} {1e3 * median(seconds[-500:]):.2f} ms" for kind, seconds in taken.items())
    print(f"after {number:,} rounds: {size['files']:,} files, {size['bytes']:,} bytes; {times}", flush=True)


def _build(root: Path, origin: Path) -> dict[str, int]:
    with connect(origin) as grown, connect(root, create=True) as store:
        corpus = grown.resources.corpus
        ids = [i for batch in corpus.scan(corpus.state().version, columns=["id"]) for i in batch["id"].to_pylist()]
        store.upsert(grown.get(ids).values())
        store.promote(store.reembed(_EMBEDDER, name="v1").wait(), reason="the first")
        _open_searcher(store)
    return _size(root)


def _open_searcher(store: Store) -> None:
    """So that what is derived for answering lies in both."""
    store.search("a word", k=1)


def _size(root: Path) -> dict[str, int]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


if __name__ == "__main__":
    main()
