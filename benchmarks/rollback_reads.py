"""What does one rollback ask of the catalog, and does it take longer as the history and the number of pairs grow?

Stores with 10 and with 100,000 moves in their history, with 2 and with 200 pairs, all in one run and in turn. `live`
goes forward by `restore` and back by `rollback(catch_up=False)`, which alone is measured: its time, and the read and
write transactions that it makes. Aim: 100,000 moves under 1.2 times 10 moves, and 200 pairs under 1.2 times 2.

The pairs are built and checked one after the other; where the history is long enough every one of them served once. The
rest of the history is written as rows, each with the hash of the one before it, as the catalog would write them: half
are new snapshots of the pair that serves, half go to and fro between the two pairs that the rollback is about.
"""

from __future__ import annotations

import gc
import itertools
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import common
import sqlalchemy as sa

from vecrollback import Document, Store, connect
from vecrollback.catalog import chained_hash

_EMBEDDER = "hash:16?seed={}"
_DOCUMENTS = 50
_COLUMNS = ["number", "alias", "epoch", "kind", "source", "target", "reason", "actor", "at", "previous_hash"]
_TURNS = (
    ("restore", "new@1", "old@1"),
    ("advance", "old@1", "old@1"),
    ("restore", "old@1", "new@1"),
    ("advance", "new@1", "new@1"),
)


class Side(NamedTuple):
    """A store: entries of its history, pairs."""

    moves: int
    pairs: int

    @property
    def label(self) -> str:
        return f"{self.moves} moves, {self.pairs} pairs"


def main() -> None:
    options = common.options(__doc__)
    few, many, two, more = (10, 200, 2, 3) if options.small else (10, 100_000, 2, 200)
    rounds = 3 if options.small else 40
    sides = [Side(few, two), Side(many, two), Side(few, more), Side(many, more)]
    taken: dict[Side, list[float]] = {side: [] for side in sides}
    asked: dict[Side, Counter[str]] = {}
    with common.workspace(options.keep) as folder:
        stores = {side: _build(folder / f"{side.moves}-{side.pairs}", side) for side in sides}
        with _counted() as counts:
            for number in range(rounds + 1):  # the first round is warming up
                for side in common.turned(sides, number):
                    seconds, found = _flip(stores[side], counts)
                    if number:
                        taken[side].append(seconds)
                        asked[side] = found
        for store in stores.values():
            store.close()
    measured: dict[str, Any] = {}
    for side in sides:
        measured[side.label] = _told(side, taken[side], asked[side])
    for name, above, below in (
        (f"{many} to {few} moves, {two} pairs", sides[1], sides[0]),
        (f"{many} to {few} moves, {more} pairs", sides[3], sides[2]),
        (f"{more} to {two} pairs, {few} moves", sides[2], sides[0]),
        (f"{more} to {two} pairs, {many} moves", sides[3], sides[1]),
    ):
        measured[name] = round(common.ratio(taken[above], taken[below]), 3)
        print(f"{name}: {measured[name]:.2f}", flush=True)
    common.conclude("rollback_reads", measured, small=options.small, corpus="synthetic: 50 short texts")


def _told(side: Side, taken: list[float], asked: Counter[str]) -> dict[str, float]:
    middle, late = (1000 * value for value in (common.middle(taken), common.percentile(taken, 90)))
    print(
        f"{side.label}: {middle:.1f} ms (p90 {late:.1f}), {asked['read']} reads and {asked['write']} writes", flush=True
    )
    return {"ms": round(middle, 2), "ms_p90": round(late, 2), "reads": asked["read"], "writes": asked["write"]}


def _flip(store: Store, counts: Counter[str]) -> tuple[float, Counter[str]]:
    """Forward, then the rollback that is measured: its seconds, its transactions."""
    store.restore("new@1", reason="benchmark: forward", catch_up=False)
    gc.collect()
    counts.clear()
    started = time.perf_counter()
    done = store.rollback(reason="benchmark: back", catch_up=False)
    taken = time.perf_counter() - started
    assert (done.target, done.trouble) == ("old@1", "")
    return taken, Counter(counts)


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    """Count the transactions of every catalog of this process by how each begins."""
    counts: Counter[str] = Counter()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("BEGIN"):
            counts["write" if "IMMEDIATE" in statement else "read"] += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield counts
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def _build(root: Path, side: Side) -> Store:
    store = connect(root, create=True)
    if store.status()["alias"]:
        return store
    started = time.perf_counter()
    store.upsert(Document(str(number), f"text number {number}") for number in range(_DOCUMENTS))
    names = [*(f"other{number}" for number in range(side.pairs - 2)), "old", "new"]
    for seed, name in enumerate(names, start=1):
        store.reembed(_EMBEDDER.format(seed), name=name, index="Flat").wait()
        store.check(name)
        if name in ("old", "new") or len(names) < side.moves:
            store.restore(f"{name}@1", reason="benchmark", catch_up=False)
    store.close()
    _lengthen(root, side.moves)
    print(f"{side.label}: built in {time.perf_counter() - started:.0f} s", flush=True)
    return connect(root)


def _lengthen(root: Path, moves: int) -> None:
    """Write entries to the end of the history until there are so many; `live` points to `new` before and after."""
    with sqlite3.connect(root / "catalog.db") as connection:
        query = "SELECT number, hash, at FROM history ORDER BY number DESC LIMIT 1"
        number, previous, at = connection.execute(query).fetchone()
        [epoch] = connection.execute("SELECT epoch FROM alias WHERE name = 'live'").fetchone()
        turns = itertools.cycle(_TURNS)
        rows: list[tuple[Any, ...]] = []
        while number < moves or (rows and rows[-1][5] != "new@1"):
            kind, source, target = next(turns)
            number, epoch = number + 1, epoch + 1
            values = (number, "live", epoch, kind, source, target, "benchmark", "benchmark", at, previous)
            previous = chained_hash(dict(zip(_COLUMNS, values, strict=True)))
            rows.append((*values, previous))
        holes = ", ".join("?" * (len(_COLUMNS) + 1))
        connection.executemany(f"INSERT INTO history ({', '.join(_COLUMNS)}, hash) VALUES ({holes})", rows)
        connection.execute("UPDATE alias SET epoch = ? WHERE name = 'live'", (epoch,))


if __name__ == "__main__":
    main()
