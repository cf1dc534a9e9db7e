"""What a store says and answers after one of its bits flipped: `python -m tests.support.flips STORE OPERATION`.

A process of its own, because a library may be ended by what it reads. It prints one JSON document.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LEFT_OUT = ("locks", "reserve", "witness", "cache", "catalog.db-shm", "catalog.db-wal")
"""Empty or filled with noise; derived and compared elsewhere (`test_mapped_files`); gone once the store is closed."""
QUERIES = ("note 1 on boats", "the lake", "bread note 7")
FILTERS = ({"kind": "bicycle"}, {"kind": "lantern", "n": {"$gte": 10}})


def _bundle(store: Any) -> None:
    path = store.root.parent / "flipped.bundle"
    store.export_snapshot("one@1", path)
    store.import_snapshot(path, name="again")


def _repaired(store: Any) -> None:
    for name in ("one", "two"):
        store.repair(store.check(name))


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "nothing": lambda store: None,
    "compact": lambda store: store.compact(),
    "purge": lambda store: store.compact(purge=True),
    "snapshot": lambda store: store.snapshot("one", rebuild=True),
    "repair": _repaired,
    "bundle": _bundle,
    "prune": lambda store: store.retention.apply(store.retention.plan()),
    "write": lambda store: store.delete(["d3"]),
}


def kind_of(file: Path) -> str:
    """What a file is to the store: its folder, and its suffix."""
    return f"{file.parts[0]}/{file.parts[1] if len(file.parts) > 2 else ''}:{''.join(file.suffixes[-1:])}"


def files_by_kind(root: Path) -> dict[str, list[Path]]:
    kinds: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        file = path.relative_to(root)
        if path.is_file() and path.stat().st_size and file.parts[0] not in LEFT_OUT:
            kinds.setdefault(kind_of(file), []).append(file)
    return kinds


def flip(path: Path, chance: random.Random) -> int:
    """Flip one bit; returns the byte's place."""
    data = bytearray(path.read_bytes())
    place = chance.randrange(len(data))
    data[place] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return place


def _say(root: str, operation: str) -> dict[str, Any]:
    import vecrollback
    from vecrollback.errors import VecrollbackError

    said: dict[str, Any] = {"refused": [], "verdicts": {}, "answers": {}, "marked": []}

    def tried(what: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except VecrollbackError as error:
            said["refused"].append(f"{what}: {type(error).__name__}: {error}")
            return None

    def answers(store: Any) -> Iterator[tuple[str, Any]]:
        for query in QUERIES:
            for where in (None, *FILTERS):
                result = tried("search", lambda query=query, where=where: store.search(query, 40, where))
                if result is None or not result.current:
                    said["marked"].append(f"{query} {where}")
                hits = [(hit.id, hit.text, hit.stale, hit.score) for hit in result.hits] if result else []
                yield f"{query} {where}", sorted(hits)

    store = tried("connect", lambda: vecrollback.connect(root))
    if store is not None:
        with store:
            tried(operation, lambda: OPERATIONS[operation](store))
            # Before a check, which could find, or mend, what whoever serves has to find for himself.
            said["answers"] = dict(answers(store))
            for name in ("one", "two"):
                report = tried("check", lambda name=name: store.check(name, sample=10**6))
                said["verdicts"][name] = report.verdict if report else "refused"
    return said


if __name__ == "__main__":
    print(json.dumps(_say(*sys.argv[1:])))
