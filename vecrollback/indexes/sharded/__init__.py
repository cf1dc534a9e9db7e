"""An index in several parts: rows arranged by document, parts built side by side, searched together.

All parts belong to one snapshot, so one pointer moves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vecrollback.errors import CorruptArtifactError
from vecrollback.indexes import VectorIndex, open_index
from vecrollback.indexes.sharded.build import ShardBuilder, ShardsDone, ShardVectors, lay_out
from vecrollback.indexes.sharded.index import ShardedIndex, merged
from vecrollback.indexes.sharded.layout import ShardLayout, arranged, shard_of
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


def open_shards(spec: str, paths: Sequence[Path], metric: Metric) -> ShardedIndex:
    """Open the shards of an index, each of them of `spec`, for reading only: they are mapped into this process.

    Raises CorruptArtifactError.
    """
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
