"""A rollback between two pairs in a database, killed between the pointer and the name there.

As a process: `... killed_move STORE PLACE`. The place is that of pair `one`; `two` stands beside it. All
of it is one process: a folder belongs to one at a time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import vecrollback
from tests.support.oracle import ONE, TWO
from tests.support.two_pairs import TEXTS
from vecrollback import Document
from vecrollback.storage.local import arm


def main() -> None:
    root, place = sys.argv[1:3]
    with vecrollback.connect(Path(root), create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name, spec in (("two", TWO), ("one", ONE)):
            store.reembed(spec, name=name, backend=f"{place.removesuffix('one')}{name}").wait()
            store.promote(name)
        arm("switch.after_commit")
        store.rollback(reason="worse", catch_up=False)


if __name__ == "__main__":
    main()
