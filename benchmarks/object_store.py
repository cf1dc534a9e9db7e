"""What does a store on object storage cost, against one on the local disk?

The two stores have their catalog in the same PostgreSQL server and take turns. Measured: putting an artefact and
reading it back, with and without a copy in this machine's cache; the commit of 1,000 vectors and of 100 documents; the
time to the first answer of a pair that nothing holds open; and promote and rollback with one searcher, to its
acknowledgement. The object storage is moto's server on this machine: it keeps everything in memory and has no network
between, so this is what the protocol and the copying cost, not what a bucket far away does. Add its round trips. Local
writes are synced to the disk, the server's are not. Without the packages that carry the servers nothing is measured.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import common
import numpy as np

from vecrollback import Document, Store, connect

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.support import postgres, s3_server

_DIMENSION = 384
_SPECS = {"one": "hash:128?seed=1", "two": "hash:128?seed=2"}
_MEBI = 1 << 20

T = TypeVar("T")
Taken = dict[str, list[float]]


@contextmanager
def stores(folder: Path, rows: list[common.Row]) -> Iterator[dict[str, Store]]:
    """The same documents and pairs on the disk and on object storage, `two` live, each with its own schema."""
    with postgres.running() as database, s3_server.running() as server:
        os.environ.update(server.environment, VECROLLBACK_CACHE=str(folder / "cache"))
        places = {"local": str(folder / "store"), "object": server.uri()}
        opened = {name: connect(uri, catalog=database.url(), create=True) for name, uri in places.items()}
        for store in opened.values():
            for first in range(0, len(rows), 5_000):
                store.upsert([Document(row.id, row.whole) for row in rows[first : first + 5_000]])
            for name, spec in _SPECS.items():
                store.reembed(spec, name=name, index="Flat").wait()
                store.promote(name)
        try:
            yield opened
        finally:
            for store in opened.values():
                store.close()


def artifacts(found: dict[str, Store], size: int, rounds: int) -> dict[str, float]:
    """Milliseconds to put bytes that are new, and to have them at a path: not yet on this machine, and again."""
    chance = np.random.default_rng(0)
    taken: dict[str, Taken] = {what: {name: [] for name in found} for what in ("put", "get_cold", "get_warm")}
    for _ in range(rounds):
        data = chance.bytes(size)
        for name, store in found.items():
            kept = store.resources.artifacts
            seconds, stored = _timed(partial(kept.put_bytes, ".bin", data))
            taken["put"][name].append(seconds)
            if name == "object":
                kept._cache.drop(stored)  # type: ignore[attr-defined]
            for what in ("get_cold", "get_warm"):
                taken[what][name].append(_timed(partial(kept.require, stored))[0])
            kept.remove(stored)
    return {f"{what}_{name}": _ms(values) for what, sides in taken.items() for name, values in sides.items()}


def commits(found: dict[str, Store], rounds: int) -> dict[str, float]:
    """Milliseconds to append 1,000 vectors to a table, and to upsert 100 documents, each durable."""
    from vecrollback.pairs.vectors import ChunkVectors, Vectors
    from vecrollback.reembedding.dispatch import Pending
    from vecrollback.reembedding.refresher import table

    chance, tables = np.random.default_rng(0), {}
    for name, store in found.items():
        tables[name] = Vectors(store.resources.file_store.inside("tables/benchmark.lance"), _DIMENSION)
        tables[name].create()
    versions = dict.fromkeys(found, 1)

    def append(name: str) -> None:
        vectors = chance.standard_normal((1_000, _DIMENSION)).astype(np.float32)
        batch = [
            (Pending(f"d{n}", n + 1, bytes(16), ""), ChunkVectors(np.zeros((1, 2), np.int32), vectors[n : n + 1]))
            for n in range(1_000)
        ]
        rows = table(batch, "f", versions[name] + 1, _DIMENSION)
        started = time.perf_counter()
        versions[name] = tables[name].append(rows, known=versions[name]).version
        taken[name].append(time.perf_counter() - started)

    taken: Taken = {name: [] for name in found}
    for number in range(rounds):
        for name in common.turned(list(found), number):
            append(name)
    written = itertools.count()

    def upsert(store: Store, _: int) -> None:
        store.upsert([Document(f"w{n}", f"written {next(written)}") for n in range(100)])

    sides = {name: partial(upsert, store) for name, store in found.items()}
    upserted = common.paired(sides, range(rounds))
    for store in found.values():
        store.delete([f"w{n}" for n in range(100)])
        store.catch_up("one")
        store.catch_up("two")
    return {
        **{f"append_{name}": _ms(values) for name, values in taken.items()},
        **{f"upsert_{name}": _ms(values) for name, values in upserted.items()},
    }


def opening(found: dict[str, Store], rounds: int) -> dict[str, float]:
    """Milliseconds to the first answer: with nothing on this machine, and with the copies of an earlier time."""
    taken: Taken = {"local": [], "object_cold": [], "object_cached": []}

    def first(store: Store) -> float:
        with store.searcher(follow=False) as searcher:
            return _timed(partial(searcher.search, "boats on the lake"))[0]

    def forget(store: Store) -> None:
        shutil.rmtree(store.root / "cache", ignore_errors=True)  # texts for answers, derived from the log
        for path in store.resources.artifacts._cache.root.iterdir():  # type: ignore[attr-defined]
            if path.is_file():
                path.unlink()

    for store in found.values():
        first(store)
    for _ in range(rounds):
        taken["local"].append(first(found["local"]))
        forget(found["object"])
        taken["object_cold"].append(first(found["object"]))
        taken["object_cached"].append(first(found["object"]))
    return {name: _ms(values) for name, values in taken.items()}


def moves(found: dict[str, Store], rounds: int) -> dict[str, float]:
    """Milliseconds of a whole promote (catch-up, check, way back, warm searcher, move) and, of it, the move itself;
    and of a rollback's move.
    """
    whole: Taken = {name: [] for name in found}
    switched: Taken = {name: [] for name in found}
    back: Taken = {name: [] for name in found}
    for name, store in found.items():
        with store.searcher() as searcher:
            searcher.search("boats")
            for _ in range(rounds):
                other = "one" if store.live().name == "two" else "two"
                started = time.perf_counter()
                moved = store.promote(other, override=True, reason="benchmark")
                whole[name].append(time.perf_counter() - started)
                switched[name].append(moved.switch_ms / 1000)
                time.sleep(0.05)
                back[name].append(store.rollback(reason="benchmark", catch_up=False).switch_ms / 1000)
    return {
        **{f"promote_{name}": _ms(values) for name, values in whole.items()},
        **{f"promote_move_{name}": _ms(values) for name, values in switched.items()},
        **{f"rollback_move_{name}": _ms(values) for name, values in back.items()},
    }


def _timed(act: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    value = act()
    return time.perf_counter() - started, value


def _ms(values: list[float]) -> float:
    return round(1000 * common.middle(values), 3)


def main() -> None:
    chosen = common.options(__doc__ or "")
    small = chosen.small
    if not (s3_server.available() and postgres.available()):
        print("needs the servers of the dev extra: pip install 'vecrollback[dev]'")
        common.conclude("object_store", {"unmeasured": [0.0, 0.0, 0.0, 0.0]}, small=small)
        return
    rounds = 3 if small else 15
    with common.workspace(chosen.keep) as folder, stores(folder, common.rows(300 if small else 10_000)) as found:
        measured: dict[str, Any] = {
            "artifact_1_mib": artifacts(found, _MEBI, rounds),
            "artifact_64_mib": artifacts(found, (8 if small else 64) * _MEBI, 3),
            "commits": commits(found, rounds),
            "opening": opening(found, rounds),
            "moves": moves(found, rounds),
        }
    for name, values in measured.items():
        print(name, ", ".join(f"{key} {value:g} ms" for key, value in values.items()))
    common.conclude("object_store", measured, small=small)


if __name__ == "__main__":
    main()
