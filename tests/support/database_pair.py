"""Work on a pair in a database, as a process that a test may kill: `... database_pair STORE PLACE STEP`."""

from __future__ import annotations

import sys

import vecrollback
from tests.support.operations import acknowledge, words
from tests.support.oracle import TWO
from vecrollback import Document, Store

CHANGES = {"new": words(100)} | {f"d{n}": words(n, 1) for n in range(2, 18)}
"""More than one batch."""
DELETED = ("d20", "d21")


def prepare(store: Store) -> dict[str, str]:
    """The documents of a store, before anything is built."""
    texts = {f"d{n}": words(n) for n in range(40)}
    store.upsert([Document(id_, text) for id_, text in texts.items()])
    return texts


def reembed(store: Store, place: str) -> None:
    acknowledge(pair=store.reembed(TWO, name="two", backend=place).wait().name)


def change(store: Store, place: str) -> None:
    """Write and delete, catch up, and take a snapshot with a new index."""
    acknowledge(seq=store.delete(DELETED).head)
    store.upsert([Document(id_, text) for id_, text in CHANGES.items()])
    store.catch_up("two")
    acknowledge(snapshot=store.snapshot("two", rebuild=True).ref)


STEPS = {step.__name__: step for step in (reembed, change)}


def main() -> None:
    root, place, step = sys.argv[1:4]
    with vecrollback.connect(root) as store:
        STEPS[step](store, place)


if __name__ == "__main__":
    main()
