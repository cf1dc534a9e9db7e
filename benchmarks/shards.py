"""What do shards cost and gain, to build and to search, against one index over the same vectors?

Building: one process with as many threads as there are cores, against builders side by side; the processor time tells
what the machine had to do, the clock how long that took, and the largest process how much memory one of them needs. For
an inverted file also what it saves to train once for all shards. Searching: one query at a time, in turns, and four
threads at once; shards in one thread after another, in threads, and in processes. Recall of all. `VECTORS`, `DIMENSION`
and `SPECS` in the environment change what is measured; `ONE/SHARDS` names another spec for the shards.
Aim: recall no lower, a builder's memory down with the number of shards. No aim for latency: shards are for what does
not fit, and the numbers say what they cost.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import common

_SHARDS = 4
_DIMENSION = int(os.environ.get("DIMENSION", "128"))
_K = 10
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--build":
        _build(*sys.argv[2:6])
        return
    options = common.options(__doc__)
    count = 6_000 if options.small else int(os.environ.get("VECTORS", "200000"))
    specs = os.environ.get("SPECS", "HNSW32,SQ8 IVF1789,SQ8/IVF894,SQ8 Flat").split()
    if options.small:
        specs = ["HNSW32,SQ8", "IVF64,SQ8/IVF32,SQ8", "Flat"]
    measured: dict[str, Any] = {"vectors": count, "dimension": _DIMENSION, "shards": _SHARDS, "cores": _CORES}
    with common.workspace(options.keep) as root:
        _write_vectors(root / "vectors.npy", count)
        for spec in specs:
            measured[spec] = {
                "build": _builds(root, spec),
                "search": _searches(root, spec, 40 if options.small else 400),
            }
    common.conclude("shards", measured, small=options.small, corpus="a mixture of 1,000 gaussians")


def _write_vectors(path: Path, count: int) -> None:
    import numpy as np

    if path.exists():
        return
    random = np.random.default_rng(5)
    centres = random.standard_normal((1000, _DIMENSION)).astype(np.float32)
    vectors = centres[random.integers(0, 1000, count)] + 0.8 * random.standard_normal(
        (count, _DIMENSION), dtype=np.float32
    )
    np.save(path, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _builds(root: Path, spec: str) -> dict[str, Any]:
    ways = ["one", "shards"] + (["shards, each trained"] if spec.startswith("IVF") else [])
    told: dict[str, Any] = {}
    for way in ways:
        command = [sys.executable, __file__, "--build", way, _spec(way, spec), str(root), str(root / _name(way, spec))]
        environment = os.environ | {"OMP_NUM_THREADS": str(_CORES)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        told[way] = json.loads(done.stdout.splitlines()[-1])
        print(f"{spec} {way}: {told[way]}", flush=True)
    told["clock, shards to one"] = round(told["shards"]["seconds"] / told["one"]["seconds"], 3)
    told["processor, shards to one"] = round(told["shards"]["processor_seconds"] / told["one"]["processor_seconds"], 3)
    return told


def _spec(way: str, spec: str) -> str:
    """`ONE/SHARDS`: the spec of the one index, and that of each shard; the same where there is no slash."""
    one, _, shards = spec.partition("/")
    return one if way == "one" else shards or one


def _name(way: str, spec: str) -> str:
    return f"{way}-{_spec(way, spec)}".replace(",", "_").replace(" ", "-")


def _build(way: str, spec: str, root: str, made: str) -> None:
    """One way of building, in a process of its own: what it took, as JSON. Vectors stay a memory map."""
    import numpy as np

    from vecrollback.indexes import build_index
    from vecrollback.indexes.sharded import ShardBuilder, ShardVectors, build

    if way.endswith("each trained"):
        mock.patch.object(build, "train_index", lambda *_: False).start()
    vectors, target = np.load(Path(root) / "vectors.npy", mmap_mode="r"), Path(made)
    target.mkdir(exist_ok=True)
    peaks: dict[str, int] = {}
    ended = threading.Event()
    threading.Thread(target=_watch, args=(peaks, ended), daemon=True).start()
    started = time.perf_counter()
    if way == "one":
        build_index(spec, vectors, "cosine", target / "index")
    else:
        build._ALONE_ROWS = 0
        bounds = [round(len(vectors) * part / _SHARDS) for part in range(_SHARDS + 1)]
        slices = tuple(slice(bounds[i], bounds[i + 1]) for i in range(_SHARDS))
        work = target / "work"
        work.mkdir(exist_ok=True)
        (work / "vectors.npy").symlink_to(Path(root) / "vectors.npy")
        names = iter(range(_SHARDS))

        def put(_: str, write: Any) -> str:
            write(target / f"index-{(number := next(names))}")
            return str(number)

        digests = tuple(f"{made} {number}" for number in range(_SHARDS))
        laid = ShardVectors(work / "vectors.npy", slices, digests)
        order = ShardBuilder(laid, put=put, sound=lambda _: False).build(spec, "cosine", ".index")
        (target / "order.json").write_text(json.dumps(order))
    seconds = time.perf_counter() - started
    ended.set()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(
        json.dumps(
            {
                "seconds": round(seconds, 2),
                "processor_seconds": round(sum(one.ru_utime + one.ru_stime for one in used), 2),
                "process_mb": round(peaks.pop("self", 0) / 1024),
                "largest_builder_mb": round(max(peaks.values(), default=0) / 1024),
                "bytes": sum(file.stat().st_size for file in target.glob("index*")),
                "load": round(os.getloadavg()[0], 2),
            }
        )
    )


def _watch(peaks: dict[str, int], ended: threading.Event) -> None:
    """Most anonymous memory of this process and of each child, in KiB. Mapped files are the system's to keep or not."""
    while not ended.wait(0.05):
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for pid in (*children, "self"):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            found = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
            peaks[pid] = max(peaks.get(pid, 0), *found, 0)


def _searches(root: Path, spec: str, rounds: int) -> dict[str, Any]:
    import numpy as np

    from vecrollback.indexes import measure_recall
    from vecrollback.indexes.exact import sample_queries

    vectors = np.load(root / "vectors.npy", mmap_mode="r")
    queries = [query[None] for query in sample_queries(vectors, rounds, 7)]
    with _opened(root, spec) as sides:
        told: dict[str, Any] = {
            name: {"recall": round(measure_recall(side, vectors, k=_K), 4)} for name, side in sides.items()
        }
        for query in queries[:20]:
            for side in sides.values():
                side.search(query, _K)
        taken = common.paired({name: partial(_search, side) for name, side in sides.items()}, queries)
        for name, side in sides.items():
            told[name]["p50_ms"] = round(1e3 * common.percentile(taken[name], 50), 3)
            told[name]["p99_ms"] = round(1e3 * common.percentile(taken[name], 99), 3)
            told[name]["p50_to_one"] = round(common.ratio(taken[name], taken["one"]), 2)
            told[name]["queries_a_second_of_4_threads"] = round(_throughput(side, queries))
            print(f"{spec} {name}: {told[name]}", flush=True)
    told["load"] = round(os.getloadavg()[0], 2)
    return told


@contextmanager
def _opened(root: Path, spec: str) -> Iterator[dict[str, Any]]:
    from vecrollback.indexes import open_index
    from vecrollback.indexes.sharded import open_shards, thread_pool

    one, parts = root / _name("one", spec), root / _name("shards", spec)
    order = json.loads((parts / "order.json").read_text())
    paths = [parts / f"index-{number}" for number in order]

    class InTurn(thread_pool.ThreadShards):
        def search(self, chosen: Any, queries: Any, k: int, _: Any) -> Any:
            return [self._indexes[shard].search(queries, k) for shard in chosen]

    one_spec, spec = _spec("one", spec), _spec("shards", spec)
    in_turn = open_shards(spec, paths, "cosine")
    in_turn._shards = InTurn([open_index(spec, path, "cosine") for path in paths])
    sides = {
        "one": open_index(one_spec, one / "index", "cosine"),
        "shards in turn": in_turn,
        "shards in threads": open_shards(spec, paths, "cosine"),
    }
    yield sides
    for side in sides.values():
        side.close()


def _search(side: Any, query: Any) -> object:
    return side.search(query, _K)


def _throughput(side: Any, queries: list[Any], threads: int = 4) -> float:
    """Queries a second that this many threads get answered together."""
    share = len(queries)
    asking = [threading.Thread(target=lambda: [side.search(query, _K) for query in queries]) for _ in range(threads)]
    started = time.perf_counter()
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    return threads * share / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
