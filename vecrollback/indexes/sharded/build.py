"""Building the shards of an index side by side, each in a process of its own, none of them twice.

The vectors stand in one file in the order of the index; a builder maps its slice of it. What is trained is trained
once, on a sample of all, and shared. A shard that is done leaves a marker under the digest of what went into it: a
build that was killed goes on with the others.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from vecrollback.arrays import FloatArray
from vecrollback.indexes import train_index
from vecrollback.indexes.sharded.build_pool import BuildPool
from vecrollback.indexes.sharded.build_process import BuildOrder, carry_out
from vecrollback.indexes.sharded.layout import ShardLayout
from vecrollback.records import Metric
from vecrollback.storage.local import reach, sha256_file, written

_VECTORS = "vectors.npy"
_ALONE_ROWS = 20_000
"""Up to here building takes less time than starting processes."""
_VERSION = 1
"""Part of a marker's key: raise it when the same input is to give another index."""


ShardsDone = Callable[[int, int], object]
"""Is called with how many shards are built, and how many there are. What it raises ends the build."""


@dataclass(frozen=True, slots=True)
class ShardVectors:
    """The vectors of an index, in its order, in a file; `digests`: of each shard's."""

    path: Path
    slices: tuple[slice, ...]
    digests: tuple[str, ...]

    @property
    def vectors(self) -> FloatArray:
        """All of them, memory-mapped."""
        mapped: FloatArray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return mapped


def lay_out(
    folder: Path, blocks: Iterable[tuple[int, FloatArray]], arrangement: ShardLayout, *, total: int, dimension: int
) -> ShardVectors:
    """Write the arranged vectors into `folder`; of the table's `total` rows never more than a block is in memory.

    `blocks`: first row and vectors, in the order of the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _VECTORS
    places = np.full(total, -1, dtype=np.int64)
    places[arrangement.rows] = np.arange(len(arrangement.rows))
    sums = [hashlib.sha256() for _ in arrangement.slices]
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(arrangement.rows), dimension))
    for first, block in blocks:
        place = places[first : first + len(block)]
        kept, place = block[place >= 0], place[place >= 0]
        file[place] = kept
        owners = np.searchsorted(arrangement.bounds, place, side="right") - 1
        for shard in np.unique(owners):
            sums[shard].update(np.ascontiguousarray(kept[owners == shard]))
    file.flush()
    return ShardVectors(path, tuple(arrangement.slices), tuple(one.hexdigest() for one in sums))


class ShardBuilder:
    """Builds the shards of one index. `put(suffix, write)` keeps an artefact and names it; `sound`: is one still so?"""

    def __init__(
        self,
        laid: ShardVectors,
        *,
        put: Callable[[str, Callable[[Path], None]], str],
        sound: Callable[[str], bool],
        on_shard: ShardsDone | None = None,
    ) -> None:
        self._laid, self._put, self._sound, self._on_shard = laid, put, sound, on_shard
        self._folder = laid.path.parent

    def build(self, spec: str, metric: Metric, suffix: str) -> list[str]:
        """The artefact of every shard, in order; `spec`: of one. Raises IndexSpecError, FailedError."""
        trained = self._trained(spec, metric)
        learnt = sha256_file(trained) if trained else ""
        keys = [self._key(spec, metric, digest, learnt) for digest in self._laid.digests]
        found = {key: name for key in keys if (name := self._finished(key)) is not None}
        orders = {
            key: BuildOrder(spec, metric, self._laid.path, one.start, one.stop, trained, self._made(key))
            for key, one in zip(keys, self._laid.slices, strict=True)
            if key not in found
        }
        for key in self._run(orders):
            found[key] = self._kept(key, suffix)
            if self._on_shard is not None:
                self._on_shard(sum(one in found for one in keys), len(keys))
        return [found[key] for key in keys]

    def _run(self, orders: dict[str, BuildOrder]) -> Iterator[str]:
        """Carry out the orders; their keys as they are done."""
        rows = sum(order.stop - order.start for order in orders.values())
        if len(orders) > 1 and rows > _ALONE_ROWS:
            yield from BuildPool(self._folder).run(orders)
            return
        for key, order in orders.items():
            carry_out(order)
            yield key

    def _trained(self, spec: str, metric: Metric) -> Path | None:
        """What all shards share, learnt from a sample of all vectors; None when there is nothing to learn."""
        path = self._folder / f"trained-{self._key(spec, metric, *self._laid.digests)}"
        if not path.exists():
            with written(path) as temporary:
                train_index(spec, self._laid.vectors, metric, temporary)
        return path if path.stat().st_size else None

    def _finished(self, key: str) -> str | None:
        try:
            name: str = json.loads(self._marker(key).read_text(encoding="utf-8"))["artifact"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return name if self._sound(name) else None

    def _kept(self, key: str, suffix: str) -> str:
        name = self._put(suffix, lambda path: _moved(self._made(key), path))
        with written(self._marker(key)) as temporary:
            temporary.write_text(json.dumps({"artifact": name}), encoding="utf-8")
        reach("shard.kept")
        return name

    def _key(self, spec: str, metric: Metric, *digests: str) -> str:
        programs = [_VERSION, version("faiss-cpu"), version("pylance")]
        facts = [*programs, spec, metric, self._laid.vectors.shape[1], *digests]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _made(self, key: str) -> Path:
        # A builder of a build that was killed may not have ended yet.
        return self._folder / f"made-{key}-{os.getpid()}"

    def _marker(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def _moved(source: Path, target: Path) -> None:
    shutil.move(source, target)
