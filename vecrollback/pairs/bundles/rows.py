"""Rows of the vectors table as members: keys as lines of JSON, vectors as bare little-endian float32.

Nothing in either unfolds, points elsewhere or is executed when it is read, which cannot be said of Parquet or Arrow
files from an unknown hand.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.corpus.documents import validate_key
from vecrollback.errors import BadDocumentError, BundleError
from vecrollback.pairs.bundles.contents import ROWS, VECTORS, refuse
from vecrollback.pairs.manifest import Manifest
from vecrollback.pairs.vectors import KEY_COLUMNS, Vectors, matrix, newest, schema
from vecrollback.records.arrays import FloatArray

COLUMNS = [*KEY_COLUMNS, "fingerprint"]
_BATCH = 8_192
_MAX_LINE = 16 << 10
_MEND = "`vecrollback check` and `vecrollback repair` the pair where it was exported, then export the new snapshot"

Rows = NDArray[np.int64]


def blocks(vectors: Vectors, version: int, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """The first `rows` rows of a table, in their order."""
    rows_left = rows
    for batch in vectors.scan(version, columns):
        if rows_left <= 0:
            return
        yield batch.slice(0, rows_left)
        rows_left -= batch.num_rows


def encode_keys(batch: pa.RecordBatch) -> bytes:
    """Lines of `rows.jsonl`: COLUMNS in an array, the content hash in hexadecimal."""
    columns = [batch[name].to_pylist() for name in COLUMNS]
    at = COLUMNS.index("content_hash")
    columns[at] = [value.hex() for value in columns[at]]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in zip(*columns, strict=True)).encode()


def encode_vectors(batch: pa.RecordBatch, dimension: int) -> bytes:
    """The vectors of a batch, for `vectors.f32`."""
    return matrix(pa.chunked_array([batch["vector"]]), dimension).astype("<f4", copy=False).tobytes()


class ReceivedRows:
    """The rows of an unpacked bundle, verified.

    `keys`: COLUMNS of every row. `counted`: numbers of those that count, a document's chunks together and in order,
    all of them finite and made by the manifest's embedder. Raises BundleError when they are anything else.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.keys = _read_keys(folder / ROWS, manifest.rows)
        shape = (manifest.rows, manifest.dimension)
        empty = not manifest.rows  # an empty file cannot be mapped
        self.vectors: FloatArray = np.empty(shape, np.float32) if empty else _map(folder / VECTORS, shape)
        self.current = newest(self.keys, {})
        self._check(manifest)

    def _check(self, manifest: Manifest) -> None:
        keys, current = self.keys, self.current
        _check_runs(keys.take(pa.array(current)))
        foreign = pc.not_equal(keys["fingerprint"], manifest.fingerprint).take(pa.array(current))
        if pc.any(foreign).as_py():
            raise BundleError("the bundle holds vectors recorded as made by another embedder", hint=_MEND)
        for first in range(0, len(current), _BATCH):
            if not np.isfinite(self.vectors[current[first : first + _BATCH]]).all():
                raise BundleError("the bundle holds vectors with NaN or infinite values", hint=_MEND)

    def table(self, rows: Rows, *, seq: NDArray[np.int64], batch: int, fingerprint: str) -> pa.Table:
        """These rows, as the vectors table takes them, with the seq of another log."""
        keys = self.keys.take(pa.array(rows))
        dimension = self.vectors.shape[1]
        columns: dict[str, Any] = {name: keys[name] for name in KEY_COLUMNS}
        columns["seq"] = pa.array(seq, pa.int64())
        columns["batch"] = pa.array(np.full(len(rows), batch, np.int64))
        columns["fingerprint"] = pa.repeat(pa.scalar(fingerprint), len(rows))
        flat = pa.array(np.ascontiguousarray(self.vectors[rows], dtype=np.float32).reshape(-1))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, dimension)
        table_schema = schema(dimension)
        return pa.Table.from_arrays([_whole(columns[f.name]).cast(f.type) for f in table_schema], schema=table_schema)


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _map(path: Path, shape: tuple[int, int]) -> FloatArray:
    # Mapped, because the vectors of a large pair do not fit into memory.
    return np.memmap(path, dtype="<f4", mode="r", shape=shape)


def _read_keys(path: Path, rows: int) -> pa.Table:
    types = schema(1)
    key_schema = pa.schema([types.field(name) for name in COLUMNS])
    parts: list[pa.RecordBatch] = []
    with path.open("rb") as stream:
        lines = _lines(stream)
        while part := list(itertools.islice(lines, _BATCH)):
            parts.append(_batch(part, key_schema))
    table = pa.Table.from_batches(parts, key_schema)
    if table.num_rows != rows:
        refuse(f"{ROWS} holds {table.num_rows} rows, the snapshot has {rows}")
    for id_ in pc.unique(table["doc_id"]).to_pylist():
        try:
            validate_key(id_)
        except BadDocumentError as error:
            refuse(f"{ROWS}: {error}")
    return table


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            refuse(f"{ROWS} has a line of more than {_MAX_LINE} bytes")
        yield line


def _batch(lines: list[bytes], key_schema: pa.Schema) -> pa.RecordBatch:
    try:
        rows = [json.loads(line) for line in lines]
        *keys, hashes, fingerprints = zip(*rows, strict=True)
        columns = [*keys, [bytes.fromhex(value) for value in hashes], fingerprints]
        arrays = [pa.array(c, field.type) for c, field in zip(columns, key_schema, strict=True)]
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        refuse(f"{ROWS}: {str(error)[:200]}")
    batch = pa.RecordBatch.from_arrays(arrays, schema=key_schema)
    seq, ordinal, start, end = (np.asarray(batch[name]) for name in ("seq", "ordinal", "start", "end"))
    if any(array.null_count for array in arrays):
        refuse(f"{ROWS} has rows with null")
    if np.any(seq < 1) or np.any(ordinal < -1) or np.any(start < 0) or np.any(end < start):
        refuse(f"{ROWS} has rows with impossible numbers")
    return batch


def _check_runs(keys: pa.Table) -> None:
    """A document's rows stand together, their ordinals going up by one from 0; -1 stands alone."""
    if not keys.num_rows:
        return
    ordinal = np.asarray(keys["ordinal"])
    document = np.asarray(keys["doc_id"].combine_chunks().dictionary_encode().indices)
    same = np.append(False, document[1:] == document[:-1])
    follows = ordinal > 0
    steps = np.append(0, np.diff(ordinal))
    runs = len(pc.unique(keys["doc_id"]))
    if np.any(follows & ~(same & (steps == 1))) or np.count_nonzero(~follows) != runs:
        refuse(f"{ROWS} has chunks out of order")
