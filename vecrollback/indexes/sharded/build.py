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

from vecrollback.indexes import train_index
from vecrollback.indexes.sharded.build_pool import BuildPool
from vecrollback.indexes.sharded.build_process import BuildOrder, carry_out
from vecrollback.indexes.sharded.layout import ShardLayout
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray
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
        vectors: FloatArray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return vectors


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
        vectors, place = block[place >= 0], place[place >= 0]
        file[place] = vectors
        owners = np.searchsorted(arrangement.bounds, place, side="right") - 1
        for shard in np.unique(owners):
            sums[shard].update(np.ascontiguousarray(vectors[owners == shard]))
    # Digests of the vectors in the order of each shard: the same input is known again after a kill.
    file.flush()
    return ShardVectors(path, tuple(arrangement.slices), tuple(one.hexdigest() for one in sums))


class ShardBuilder:
    """Builds the shards of one index.

    `put(suffix, write)` keeps an artefact and returns its name; `sound(name)`: whether its bytes are still right.
    """

    def __init__(
        self,
        layout: ShardVectors,
        *,
        put: Callable[[str, Callable[[Path], None]], str],
        sound: Callable[[str], bool],
        on_shard: ShardsDone | None = None,
    ) -> None:
        self._layout, self._put, self._sound, self._on_shard = layout, put, sound, on_shard
        self._folder = layout.path.parent

    def build(self, spec: str, metric: Metric, suffix: str) -> list[str]:
        """The artefact of every shard, in order; `spec`: of one. Raises IndexSpecError, FailedError."""
        shared = self._shared(spec, metric)
        shared_digest = sha256_file(shared) if shared else ""
        keys = [self._key(spec, metric, digest, shared_digest) for digest in self._layout.digests]
        artifacts = {key: name for key in keys if (name := self._artifact_of(key)) is not None}
        orders = {
            key: BuildOrder(spec, metric, self._layout.path, one.start, one.stop, shared, self._output(key))
            for key, one in zip(keys, self._layout.slices, strict=True)
            if key not in artifacts
        }
        for key in self._run(orders):
            artifacts[key] = self._keep(key, suffix)
            if self._on_shard is not None:
                self._on_shard(sum(one in artifacts for one in keys), len(keys))
        return [artifacts[key] for key in keys]

    def _run(self, orders: dict[str, BuildOrder]) -> Iterator[str]:
        """Carry out the orders; their keys as they are done."""
        rows = sum(order.stop - order.start for order in orders.values())
        if len(orders) > 1 and rows > _ALONE_ROWS:
            yield from BuildPool(self._folder).run(orders)
            return
        for key, order in orders.items():
            carry_out(order)
            yield key

    def _shared(self, spec: str, metric: Metric) -> Path | None:
        """What all shards share, learnt from a sample of all vectors; None when there is nothing to learn."""
        path = self._folder / f"trained-{self._key(spec, metric, *self._layout.digests)}"
        if not path.exists():
            with written(path) as temporary:
                train_index(spec, self._layout.vectors, metric, temporary)
        # An empty file says that there is nothing to learn, so that a resumed build does not try again.
        return path if path.stat().st_size else None

    def _artifact_of(self, key: str) -> str | None:
        try:
            name: str = json.loads(self._marker(key).read_text(encoding="utf-8"))["artifact"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return name if self._sound(name) else None

    def _keep(self, key: str, suffix: str) -> str:
        # The artefact is durable before the marker that names it: a kill in between only builds this shard again.
        name = self._put(suffix, lambda path: _move(self._output(key), path))
        with written(self._marker(key)) as temporary:
            temporary.write_text(json.dumps({"artifact": name}), encoding="utf-8")
        reach("shard.kept")
        return name

    def _key(self, spec: str, metric: Metric, *digests: str) -> str:
        # Other versions of the libraries may build another index of the same vectors.
        programs = [_VERSION, version("faiss-cpu"), version("pylance")]
        facts = [*programs, spec, metric, self._layout.vectors.shape[1], *digests]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _output(self, key: str) -> Path:
        # With the process id: a builder of a killed build may still be writing its own file.
        return self._folder / f"made-{key}-{os.getpid()}"

    def _marker(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def _move(source: Path, target: Path) -> None:
    shutil.move(source, target)
