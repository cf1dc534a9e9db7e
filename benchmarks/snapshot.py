"""What does a snapshot cost after 1% of the documents changed, against the first, full one?

Aim: proportional to the change, in time and in bytes. `snapshot` is the call alone; `everything` adds the catch-up that
embeds what changed. Bytes are what the store grew by on disk, with and without the corpus and its cache, which grow by
the new texts whether a snapshot is taken or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common

from vecrollback import Document, Store, connect

_EMBEDDER = "hash:128?seed=1"
_SHARES = (0.01, 0.04)


def main() -> None:
    options = common.options(__doc__)
    sizes, rounds = ((300, 600), 2) if options.small else ((10_000, 50_000), 5)
    measured: dict[str, Any] = {"embedder": _EMBEDDER, "rounds": rounds}
    with common.workspace(None) as root:
        for size in sizes:
            measured[str(size)] = _measure(root / f"snapshot-{size}", size, rounds)
    common.conclude("snapshot", measured, small=options.small)


def _measure(root: Path, size: int, rounds: int) -> dict[str, Any]:
    rows = common.rows(size)
    with connect(root, create=True) as store:
        for first in range(0, size, 20_000):
            part = rows[first : first + 20_000]
            store.upsert([Document(r.id, r.whole, {"title": r.title}) for r in part])
        store.reembed(_EMBEDDER, name="v1").wait()
        full_bytes = _bytes(root, "artifacts") + _bytes(root, "tables/vectors-v1.lance")
        taken: dict[str, list[tuple[float, ...]]] = {"full": []}
        for number in range(rounds):
            taken["full"].append((_timed(lambda: store.snapshot("v1", rebuild=True)),))
            for share in _SHARES:
                changed = rows[number :: round(1 / share)]
                taken.setdefault(f"{share:.0%}", []).append(_changed(store, changed, f"{share} {number}"))
    return _told(size, full_bytes, taken)


def _changed(store: Store, rows: list[common.Row], mark: str) -> tuple[float, ...]:
    """Seconds to catch up, seconds to snapshot, bytes that the snapshot wrote, bytes that both wrote."""
    store.upsert([Document(r.id, f"{r.whole} ({mark})", {"title": r.title}) for r in rows])
    artifacts, tables = _bytes(store.root, "artifacts"), _bytes(store.root, "tables/vectors-v1.lance")
    caught_up = _timed(lambda: store.catch_up("v1", advance=False))
    snapshot = _timed(lambda: store.snapshot("v1"))
    written = _bytes(store.root, "artifacts") - artifacts
    return caught_up, snapshot, written, written + _bytes(store.root, "tables/vectors-v1.lance") - tables


def _told(size: int, full_bytes: int, taken: dict[str, list[tuple[float, ...]]]) -> dict[str, Any]:
    full = common.middle([row[0] for row in taken.pop("full")])
    print(f"{size:,} documents, full: {full:.3f} s, {full_bytes:,} bytes")
    told: dict[str, Any] = {"full": {"seconds": round(full, 4), "bytes": full_bytes}}
    for share, rows in taken.items():
        caught_up, snapshot, alone, both = (common.middle(column) for column in zip(*rows, strict=True))
        told[share] = {
            "snapshot_seconds": round(snapshot, 4),
            "catch_up_seconds": round(caught_up, 4),
            "snapshot_bytes": int(alone),
            "bytes": int(both),
            "seconds_to_full": round(snapshot / full, 4),
            "bytes_to_full": round(both / full_bytes, 4),
        }
        print(f"  {share} changed: " + ", ".join(f"{name} {value}" for name, value in told[share].items()), flush=True)
    return told


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _bytes(root: Path, folder: str) -> int:
    """Bytes of the files' contents. Disk blocks would round a manifest of 2 kB up to 4."""
    return sum(path.stat().st_size for path in (root / folder).rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
