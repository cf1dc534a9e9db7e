"""An index in several parts: rows arranged by document, parts built side by side, searched together.

All parts belong to one snapshot, so one pointer moves them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vecrollback.errors import CorruptArtifactError, UsageError
from vecrollback.indexes import VectorIndex, open_index
from vecrollback.indexes.sharded.build import ShardBuilder, ShardsDone, ShardVectors, lay_out
from vecrollback.indexes.sharded.index import ShardedIndex, merged
from vecrollback.indexes.sharded.layout import ShardLayout, arranged, shard_of
from vecrollback.indexes.sharded.process_pool import ProcessShards, Source
from vecrollback.indexes.sharded.thread_pool import ThreadShards
from vecrollback.records import Metric

__all__ = [
    "ShardBuilder",
    "ShardLayout",
    "ShardVectors",
    "ShardedIndex",
    "ShardsDone",
    "arranged",
    "lay_out",
    "merged",
    "open_shards",
    "shard_of",
]

WHERE = "VECROLLBACK_SHARDS"


def open_shards(spec: str, paths: Sequence[Path], metric: Metric, *, serving: bool = False) -> ShardedIndex:
    """Open the shards of an index, each of them of `spec`, for reading only.

    They are mapped into this process; with `serving`, where the environment says (`VECROLLBACK_SHARDS`): `threads`,
    `processes`, or `processes:K`. Raises CorruptArtifactError, UsageError.
    """
    most = _processes_wanted() if serving else None
    if most is not None:
        shards = ProcessShards([Source(spec, path, metric) for path in paths], most or None)
        return ShardedIndex(shards, shards.sizes, shards.dimension, metric)
    indexes: list[VectorIndex] = []
    try:
        indexes.extend(open_index(spec, path, metric) for path in paths)
        dimensions = {index.dimension for index in indexes}
        if len(dimensions) != 1:
            raise CorruptArtifactError(f"shards of one index hold vectors of dimensions {sorted(dimensions)}")
    except BaseException:
        for index in indexes:
            index.close()
        raise
    return ShardedIndex(ThreadShards(indexes), [index.size for index in indexes], dimensions.pop(), metric)


def _processes_wanted() -> int | None:
    """None for threads, 0 for a process to each shard, else how many processes."""
    said = os.environ.get(WHERE, "threads")
    if said in ("", "threads"):
        return None
    if said == "processes":
        return 0
    kind, _, number = said.partition(":")
    if kind == "processes" and number.isdigit() and int(number):
        return int(number)
    raise UsageError(f"{WHERE} is {said!r}", hint="threads, processes, or processes:K with K processes")
