"""The log of this store as a bundle looks at it: which of its rows were made from texts that are still the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.corpus.corpus import Corpus


@dataclass(frozen=True, slots=True)
class BundleLog:
    """Every document by its newest change, at one version of the corpus. `live`: not deleted."""

    ids: pa.Array
    seq: NDArray[np.int64]
    hashes: pa.Array
    live: NDArray[np.bool_]
    head: int
    version: int

    @classmethod
    def read(cls, corpus: Corpus, tombstones: Mapping[str, int]) -> Self:
        """The log at its acknowledged head; what the ledger calls deleted is, whatever the table says."""
        state = corpus.state()
        changes = corpus.changes(0, state.head, version=state.version).combine_chunks()
        ids, seq = changes["id"].combine_chunks(), np.asarray(changes["_seq"], dtype=np.int64)
        live = ~np.asarray(changes["_deleted"], dtype=bool)
        if tombstones and len(ids):
            place = np.asarray(pc.fill_null(pc.index_in(ids, value_set=pa.array(list(tombstones), pa.string())), -1))
            deleted_at = np.fromiter(tombstones.values(), np.int64, len(tombstones))
            live &= (place < 0) | (seq > deleted_at[place])
        return cls(ids, seq, changes["_content_hash"].combine_chunks(), live, state.head, state.version)

    def places(self, keys: pa.Table) -> NDArray[np.int64]:
        """For each row the document, as a position here, whose text it was made from; -1 for none that is live."""
        if not len(self.ids) or not keys.num_rows:
            return np.full(keys.num_rows, -1, dtype=np.int64)
        place = np.asarray(pc.fill_null(pc.index_in(keys["doc_id"], value_set=self.ids), -1), dtype=np.int64)
        # Arrow cannot take row -1: unknown documents read position 0, and become -1 again below.
        position = np.maximum(place, 0)
        same = np.asarray(pc.equal(keys["content_hash"], self.hashes.take(pa.array(position))), dtype=bool)
        return np.where((place >= 0) & same & self.live[position], place, -1)

    def changes_behind(self, keys: pa.Table) -> NDArray[np.int64]:
        """The seq of every document that these rows were made from, each once, ascending."""
        places = self.places(keys)
        return np.unique(self.seq[places[places >= 0]])

    def covered_by(self, places: NDArray[np.int64]) -> int:
        """The watermark of a pair with vectors for these documents: the last seq up to which no live one lacks any."""
        without_vectors = self.live.copy()
        without_vectors[places] = False
        return int(self.seq[without_vectors].min(initial=self.head + 1)) - 1
