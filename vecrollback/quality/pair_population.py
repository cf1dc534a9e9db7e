"""A pair as an audit sees it: vectors with the texts they should have been made from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.corpus.corpus import Corpus
from vecrollback.pairs.vectors import Vectors
from vecrollback.quality.check.rows import LogRows, VectorKeys
from vecrollback.quality.check.sample import comparable
from vecrollback.records.arrays import FloatArray, Numbers, Times

_DOCUMENTS = 512
_CHANGED = pa.schema(
    [pa.field("id", pa.string(), nullable=False), pa.field("_updated_at", pa.string(), nullable=False)]
)


class PairPopulation:
    """The chunks of a pair whose text is still the one they were made from. Others are stale, which a check tells."""

    def __init__(self, vectors: Vectors, version: int, rows: VectorKeys, log: LogRows, corpus: Corpus, at: int) -> None:
        self._vectors, self._version, self._corpus, self._at = vectors, version, corpus, at
        self._rows = comparable(log, rows)
        self._keys: pa.Table = rows.keys.take(pa.array(self._rows))

    @property
    def count(self) -> int:
        return len(self._rows)

    @property
    def dimension(self) -> int:
        return self._vectors.dimension

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        first_row = 0
        for first, block in self._vectors.blocks(self._version):
            end = int(np.searchsorted(self._rows, first + len(block)))
            here = self._rows[first_row:end] - first
            if len(here):
                yield first_row, block if len(here) == len(block) else block[here]
            first_row = end

    def vectors(self, rows: Numbers) -> FloatArray:
        return self._vectors.read(self._version, self._rows[rows]).vectors

    def texts(self, rows: Numbers) -> list[str | None]:
        keys = self._keys.select(["doc_id", "start", "end"]).take(pa.array(rows)).to_pylist()
        ids = list(dict.fromkeys(key["doc_id"] for key in keys))
        texts: dict[str, str] = {}
        for first in range(0, len(ids), _DOCUMENTS):
            documents = self._corpus.get(ids[first : first + _DOCUMENTS], version=self._at)
            texts |= {id_: document.text_for_model for id_, document in documents.items()}
        return [texts[k["doc_id"]][k["start"] : k["end"]] if k["doc_id"] in texts else None for k in keys]

    def ids(self, rows: Numbers) -> list[str]:
        ids: list[str] = self._keys["doc_id"].take(pa.array(rows)).to_pylist()
        return ids

    def batches(self) -> Numbers | None:
        return np.asarray(self._keys["batch"], dtype=np.int64)

    def times(self) -> Times | None:
        """When the document of each row was last changed."""
        log = pa.Table.from_batches(list(self._corpus.scan(self._at, columns=["id", "_updated_at"])), _CHANGED)
        place = pc.index_in(self._keys["doc_id"], value_set=log["id"].combine_chunks())
        change_times = log["_updated_at"].combine_chunks().dictionary_encode()
        moments = np.array([dt.datetime.fromisoformat(one).timestamp() for one in change_times.dictionary.to_pylist()])
        return np.asarray(moments[np.asarray(change_times.indices)[np.asarray(place)]], dtype=np.float64)
