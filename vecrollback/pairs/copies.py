"""A pair in another place: its rows as a Parquet file, and the proof that another place has the same vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vecrollback.catalog import vectors_table
from vecrollback.embedders.stamp import PARQUET_STAMP, Stamp
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.vectors import VectorRows, newest
from vecrollback.records import Document, Pair, Parity
from vecrollback.records.arrays import FloatArray, cosines
from vecrollback.storage.local import written

_BLOCK = 4_096


def file_schema(dimension: int) -> pa.Schema:
    """Columns of an exported file, a row for each chunk.

    `id`: of the document; of its second chunk and those after it with `#` and the chunk's number from 0. `text`: what
    the model was given.
    """
    return pa.schema(
        [
            ("id", pa.string()),
            ("document", pa.string()),
            ("namespace", pa.string()),
            ("ordinal", pa.int32()),
            ("text", pa.large_string()),
            ("metadata", pa.string()),
            ("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


@dataclass(frozen=True, slots=True)
class PairRows:
    """The rows of a pair that count: of each document the newest, deleted ones and those without chunks left out."""

    resources: Resources
    pair: Pair
    keys: pa.Table
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, resources: Resources, pair: Pair) -> PairRows:
        keys = resources.vectors_of(pair).keys(pair.vectors_version)
        numbers = newest(keys, resources.catalog.ledger.tombstones())
        numbers = numbers[np.asarray(keys["ordinal"])[numbers] >= 0]
        return cls(resources, pair, keys.take(pa.array(numbers)), numbers)

    @property
    def names(self) -> pa.Array:
        """What tells a row of one place from all others: document and chunk."""
        return pc.binary_join_element_wise(
            self.keys["doc_id"].combine_chunks(), pc.cast(self.keys["ordinal"].combine_chunks(), pa.string()), "\n"
        )

    def read(self, rows: NDArray[np.int64]) -> VectorRows:
        """Vectors of rows by their place in `keys`."""
        vectors = self.resources.vectors_of(self.pair)
        return vectors.read(self.pair.vectors_version, self.numbers[rows])

    def require_sound(self) -> None:
        """Compare what is read with the digests that were recorded. Raises CorruptArtifactError."""
        vectors = self.resources.vectors_of(self.pair)
        digests = self.resources.catalog.files.of(vectors_table(self.pair.name))
        vectors.require_sound(self.pair.vectors_version, digests)


def write_parquet(rows: PairRows, path: Path) -> None:
    """Write the rows with their texts, and the stamp of what made them. Damage is refused, and copied nowhere."""
    rows.require_sound()
    resources, pair = rows.resources, rows.pair
    stamp = Stamp(
        pair.embedder,
        pair.contract,
        pair.fingerprint,
        pair.probe_floor,
        resources.embedders.probes(pair),
        pair.created_at,
    )
    shape = file_schema(pair.dimension).with_metadata({PARQUET_STAMP: stamp.as_text()})
    with written(path) as temporary, pq.ParquetWriter(temporary, shape) as writer:
        for block in _blocks(len(rows.numbers)):
            writer.write_table(_table(rows, block, shape))


def _table(rows: PairRows, block: NDArray[np.int64], shape: pa.Schema) -> pa.Table:
    part = rows.keys.take(pa.array(block))
    ids = part["doc_id"].to_pylist()
    corpus = rows.resources.corpus
    documents: dict[str, Document] = corpus.at_head(
        lambda state: corpus.get(list(dict.fromkeys(ids)), version=state.version)
    )
    found = [documents.get(id_) for id_ in ids]
    own_ids = [id_ if one is None else one.id for id_, one in zip(ids, found, strict=True)]
    chunks = part["ordinal"].to_pylist()
    texts = [
        None if one is None else one.text_for_model[start:end]
        for one, start, end in zip(found, part["start"].to_pylist(), part["end"].to_pylist(), strict=True)
    ]
    flat = pa.array(rows.read(block).vectors.reshape(-1))
    columns = [
        pa.array([f"{id_}#{chunk}" if chunk else id_ for id_, chunk in zip(own_ids, chunks, strict=True)], pa.string()),
        pa.array(own_ids, pa.string()),
        pa.array(["" if one is None else one.namespace for one in found], pa.string()),
        part["ordinal"].combine_chunks(),
        pa.array(texts, pa.large_string()),
        pa.array([None if one is None else json.dumps(one.metadata, ensure_ascii=False) for one in found], pa.string()),
        pa.FixedSizeListArray.from_arrays(flat, rows.pair.dimension),
    ]
    return pa.Table.from_arrays(columns, schema=shape)


def parity_with_pair(rows: PairRows, other: PairRows) -> Parity:
    """Compare every vector of a pair with that of the same chunk in another one of the same model."""
    place = pc.fill_null(pc.index_in(rows.names, value_set=other.names), -1)
    theirs = np.asarray(place, dtype=np.int64)
    tally = _Tally(missing=int((theirs < 0).sum()), extra=len(other.numbers) - int((theirs >= 0).sum()))
    both = np.flatnonzero(theirs >= 0)
    for block in _blocks(len(both)):
        here = both[block]
        tally.add(rows.read(here).vectors, other.read(theirs[here]).vectors)
    return tally.parity()


def parity_with_file(rows: PairRows, path: Path) -> Parity:
    """Compare every vector of a pair with what was written, read back from the file in its order."""
    tally, first = _Tally(), 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BLOCK, columns=["vector"]):
            here = np.arange(first, min(first + len(batch), len(rows.numbers)))
            flat = np.asarray(batch["vector"].flatten(), np.float32).reshape(len(batch), -1)
            tally.add(rows.read(here).vectors, flat[: len(here)])
            first += len(batch)
    tally.missing, tally.extra = max(0, len(rows.numbers) - first), max(0, first - len(rows.numbers))
    return tally.parity()


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    identical: int = 0
    least: float = 1.0
    missing: int = 0
    extra: int = 0

    def add(self, ours: FloatArray, theirs: FloatArray) -> None:
        same = (ours == theirs).all(axis=1)
        self.rows, self.identical = self.rows + len(ours), self.identical + int(same.sum())
        if not same.all():
            near = cosines(ours[~same], theirs[~same])
            self.least = min(self.least, float(np.nan_to_num(near, nan=-1.0).min()))

    def parity(self) -> Parity:
        return Parity(self.rows, self.identical, self.least, self.missing, self.extra)


def _blocks(count: int) -> Iterator[NDArray[np.int64]]:
    for first in range(0, count, _BLOCK):
        yield np.arange(first, min(first + _BLOCK, count))
