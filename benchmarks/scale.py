"""What does every step cost per million chunks, and what would it be at ten million, a hundred million and a billion?

One store of each of two sizes, every step in a process of its own, whose peak memory the system tells. Costs are fitted
by the line through both sizes and drawn out: `at` is arithmetic, not a measurement, and holds where nothing breaks
before; docs/scale.md says what does. Vectors have 384 numbers, from the hashing embedder, so that a model's time is not
in them: benchmarks/reembed.py has that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common

from vecrollback import Document, Store, connect

_EMBEDDER, _OTHER = "hash:384?seed=1", "hash:384?seed=2"
_INDEX = "IVF1024,SQ8"  # of the kind that `auto` takes from half a million on
_QUERIES = 200
_AT = {"10 million": 10, "100 million": 100, "1 billion": 1_000}


def main() -> None:
    if sys.argv[1:2] == ["--step"]:
        _step(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return
    options = common.options(__doc__)
    sizes = (400, 800) if options.small else (100_000, 300_000)
    with common.workspace(options.keep) as root:
        measured = {size: _measured(root / str(size), size) for size in sizes}
    fits = {
        step: {cost: _line(sizes, [measured[size][step][cost] for size in sizes]) for cost in measured[sizes[0]][step]}
        for step in _STEPS
    }
    told = {str(size): measured[size] for size in sizes}
    common.conclude("scale", {"sizes": told, "per_million": fits, "at": _drawn_out(fits)}, small=options.small)


def _measured(root: Path, size: int) -> dict[str, dict[str, float]]:
    found = {}
    for step in _STEPS:
        command = [sys.executable, __file__, "--step", step, str(root), str(size)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        said = process.stdout.read()
        _, code, usage = os.wait4(process.pid, 0)
        if code:
            raise SystemExit(f"step {step} failed")
        found[step] = json.loads(said.splitlines()[-1]) | {"peak_mb": round(usage.ru_maxrss / 1024, 1)}
        print(f"{size:,} chunks, {step}: {found[step]}", flush=True)
    return found


def _step(name: str, root: Path, size: int) -> None:
    before = _bytes(root)
    with connect(root, create=not root.exists()) as store:
        told = _STEPS[name](store, size)
    print(json.dumps(told | {"written_mb": round((_bytes(root) - before) / 1e6, 2)}))


def _ingest(store: Store, size: int) -> dict[str, float]:
    rows = common.rows(size)
    started = time.perf_counter()
    for first in range(0, size, 5_000):
        store.upsert([Document(r.id, r.whole) for r in rows[first : first + 5_000]])
    return {"seconds": _since(started)}


def _build(store: Store, _: int) -> dict[str, float]:
    """Chunk, hash into vectors, write, and build the index."""
    started = time.perf_counter()
    pair = store.reembed(_EMBEDDER, name="v1", index=_index(store)).wait()
    store.promote(pair, override=True, reason="measured without a check")
    return {"seconds": _since(started)}


def _second(store: Store, _: int) -> dict[str, float]:
    """The next pair, and what moving to it and back costs."""
    pair = store.reembed(_OTHER, name="v2", index=_index(store)).wait()
    store.promote(pair, override=True, reason="measured without a check")
    started = time.perf_counter()
    store.rollback(reason="measured", catch_up=False)
    return {"rollback_seconds": _since(started)}


def _serve(store: Store, _: int) -> dict[str, float]:
    with store.searcher(follow=False) as searcher:
        started = time.perf_counter()
        searcher.search("the first question")
        first = _since(started)
        taken = []
        for query in common.queries(_QUERIES):
            started = time.perf_counter()
            searcher.search(query)
            taken.append(1_000 * _since(started))
    return {"first_answer_seconds": first, "median_ms": round(common.middle(taken), 3)}


def _check(store: Store, _: int) -> dict[str, float]:
    started = time.perf_counter()
    assert store.check("v1").verdict == "pass"
    return {"seconds": _since(started)}


def _audit(store: Store, _: int) -> dict[str, float]:
    started = time.perf_counter()
    report = store.audit("v1", seed=1, bound=0.01, suspects=())
    return {"seconds": _since(started), "texts": float(report.examined["re-embedded"])}


def _catch_up(store: Store, size: int) -> dict[str, float]:
    """One document in a hundred changed."""
    rows = common.rows(size)[::100]
    store.upsert([Document(r.id, f"{r.whole} (changed)") for r in rows])
    started = time.perf_counter()
    store.catch_up("v1", advance=False)
    return {"seconds": _since(started)}


_STEPS: dict[str, Callable[[Store, int], dict[str, float]]] = {
    "ingest": _ingest,
    "build": _build,
    "second pair and rollback": _second,
    "serve": _serve,
    "check": _check,
    "audit": _audit,
    "catch up 1%": _catch_up,
}


def _line(sizes: tuple[int, int], values: list[float]) -> dict[str, float]:
    """Fixed cost, and cost of every million chunks."""
    slope = (values[1] - values[0]) / (sizes[1] - sizes[0])
    return {"fixed": round(values[0] - slope * sizes[0], 4), "million": round(slope * 1e6, 4)}


def _drawn_out(fits: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    return {
        name: {
            step: {cost: round(max(0.0, fit["fixed"] + millions * fit["million"]), 2) for cost, fit in costs.items()}
            for step, costs in fits.items()
        }
        for name, millions in _AT.items()
    }


def _index(store: Store) -> str:
    documents: int = store.status()["corpus"]["documents"]
    return _INDEX if documents >= 50_000 else "auto"


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 4)


def _bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) if root.exists() else 0


if __name__ == "__main__":
    main()
