"""Which shard a document belongs to, and the order of an index's rows that makes every shard a run of them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def shard_of(document: str, count: int) -> int:
    """The shard of a document: the same in every process, on every machine, for as long as `count` is."""
    return int.from_bytes(blake2b(document.encode(), digest_size=8).digest()) % count


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """`rows`: those that are indexed, shard by shard, each shard's in their own order. `bounds`: (shards + 1,)."""

    rows: NDArray[np.int64]
    bounds: NDArray[np.int64]

    @property
    def slices(self) -> list[slice]:
        return [slice(int(start), int(stop)) for start, stop in pairwise(self.bounds)]


def arranged(documents: pa.ChunkedArray, rows: NDArray[np.int64], count: int) -> ShardLayout:
    """Arrange `rows` in `count` shards; `documents` names the document of every row of the table.

    All chunks of a document are in one shard.
    """
    if count == 1:
        return ShardLayout(rows, np.array([0, len(rows)], dtype=np.int64))
    encoded = documents.take(pa.array(rows)).combine_chunks().dictionary_encode()
    of_document = np.fromiter((shard_of(i, count) for i in encoded.dictionary.to_pylist()), np.int32)
    shards = of_document[np.asarray(encoded.indices)] if len(rows) else np.empty(0, np.int32)
    # Stable: inside a shard rows keep the order of the table, so the chunks of a document stay together.
    order = np.argsort(shards, kind="stable")
    return ShardLayout(rows[order], np.searchsorted(shards[order], np.arange(count + 1)).astype(np.int64))
