"""Shards opened in this process: memory-mapped, searched one after another, or by several threads where that pays."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from vecrollback.indexes import Neighbours, VectorIndex
from vecrollback.records.arrays import FloatArray, Mask, Positions

_BATCH = 16
"""From this many queries on FAISS and BLAS use every core inside one shard; shards then come one after another."""
_WORTH_SECONDS = 0.0005
"""Shards that answer sooner are not handed to another thread.

A helper may have to wait until the interpreter switches to it, 5 ms by default: handing over graphs of 0.1 ms took 5.1
ms at the 99th percentile, one after another 0.6; scans of 0.85 ms gained a sixth (benchmarks/README.md).
"""
# Weight of the newest search in the running mean of a shard's time.
_MEMORY = 0.1


class ShardMasks:
    """One mask, cut by shard. `parts`: each shard's own, None where it allows all; `empty`: whether it allows none."""

    def __init__(self, mask: Mask, slices: Sequence[slice]) -> None:
        self.parts: list[Mask | None] = []
        self.empty: list[bool] = []
        for part in (mask[one] for one in slices):
            self.parts.append(None if part.all() else part)
            self.empty.append(not part.any())
        # Read-only, so that the index inside the shard may remember what it derives from it.
        for part_mask in self.parts:
            if part_mask is not None:
                part_mask.flags.writeable = False


class ThreadShards:
    """Opened indexes, each searched by the calling thread or by a helper."""

    def __init__(self, indexes: Sequence[VectorIndex]) -> None:
        self._indexes = list(indexes)
        self._seconds = 0.0

    def search(
        self, shards: Sequence[int], queries: FloatArray, k: int, masks: ShardMasks | None
    ) -> Sequence[Neighbours]:
        def ask(shard: int) -> Neighbours:
            return self._indexes[shard].search(queries, k, masks.parts[shard] if masks else None)

        if len(shards) == 1 or len(queries) >= _BATCH:
            return [ask(shard) for shard in shards]
        if self._seconds > _WORTH_SECONDS:
            return _helpers.spread(lambda shard: self._time(ask, [shard])[0], shards)
        return self._time(ask, shards)

    def reconstruct(self, shard: int, positions: Positions) -> FloatArray:
        return self._indexes[shard].reconstruct(positions)

    def close(self) -> None:
        for index in self._indexes:
            index.close()

    def _time(self, ask: Callable[[int], Neighbours], shards: Sequence[int]) -> list[Neighbours]:
        """Ask these shards, and remember how long one takes lately. Threads may overwrite each other's memory of it."""
        start = time.perf_counter()
        answers = [ask(shard) for shard in shards]
        self._seconds += _MEMORY * ((time.perf_counter() - start) / len(shards) - self._seconds)
        return answers


class _Helpers:
    """Threads shared by all sharded indexes of this process, one for each core but the caller's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    def spread(self, ask: Callable[[int], Neighbours], shards: Sequence[int]) -> list[Neighbours]:
        """Ask all shards. What no helper has begun when the caller comes to it, the caller does itself.

        So a busy machine costs nothing but the order: no query waits in line behind another one's shards.
        """
        if (pool := self._open_pool()) is None:
            return [ask(shard) for shard in shards]
        futures = [pool.submit(ask, shard) for shard in shards[1:]]
        answers = [ask(shards[0])]
        return answers + [self._answer(ask, *one) for one in zip(futures, shards[1:], strict=True)]

    def _answer(self, ask: Callable[[int], Neighbours], future: Future[Neighbours], shard: int) -> Neighbours:
        return ask(shard) if future.cancel() else future.result()

    def _open_pool(self) -> ThreadPoolExecutor | None:
        if self._pid != os.getpid():  # also after a fork, which copies no threads
            with self._lock:
                if self._pid != os.getpid():
                    helpers = cores() - 1
                    self._pool = ThreadPoolExecutor(helpers, "vecrollback-shard") if helpers else None
                    self._pid = os.getpid()
        return self._pool


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_helpers = _Helpers()
