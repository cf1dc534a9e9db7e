"""The index holds the vectors it was built over, and finds them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from vecrollback.indexes import VectorIndex, measure_recall
from vecrollback.indexes.exact import distances
from vecrollback.pairs.manifest import Manifest
from vecrollback.pairs.snapshots import load_ids, open_indexed
from vecrollback.pairs.vectors import KEY_COLUMNS, Vectors
from vecrollback.quality.check.findings import Notes
from vecrollback.quality.check.rows import PairEvidence, VectorKeys
from vecrollback.records.arrays import FloatArray, take_rows
from vecrollback.storage.artifacts import Artifacts

_BLOCK = 65_536
_ROUNDING = 1e-5
_RECALL_SLACK = 0.02


def examine_index(
    notes: Notes, artifacts: Artifacts, manifest: Manifest, evidence: PairEvidence, table: Vectors
) -> None:
    """Id map against the table, every vector of the index against the table's, recall against exact search."""
    part, rows = manifest.index, evidence.rows
    # As long as it lives, no cleaning of the cache takes the files away that are examined here.
    lease = artifacts.keep(manifest.artifacts())
    ids = load_ids(artifacts, manifest)
    index = open_indexed(artifacts, manifest, table)
    try:
        if index.size != ids.num_rows or index.size != part.chunks:
            sizes = f"index {index.size}, id map {ids.num_rows}, manifest {part.chunks}"
            notes.add("index_differs", f"sizes differ: {sizes}", ["size"])
            return
        numbers = np.asarray(ids["row"])
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < rows.keys.num_rows:
            notes.add("index_differs", "the id map names rows that the vectors table does not have", ["id map"])
            return
        if not ids.select(KEY_COLUMNS).equals(rows.keys.select(KEY_COLUMNS).take(pa.array(numbers)).combine_chunks()):
            notes.add("index_differs", "the id map names other rows than the vectors table holds", ["id map"])
            return
        _examine_coverage(notes, rows, numbers, part.rows)
        vectors = take_rows(evidence.vectors, numbers)
        _examine_content(notes, index, vectors, manifest, ids)
        _examine_recall(notes, index, vectors, manifest)
    finally:
        index.close()
        del lease
    notes.examined["index"] = part.spec


def _examine_coverage(
    notes: Notes, rows: VectorKeys, numbers: np.ndarray[tuple[int], np.dtype[np.int64]], built: int
) -> None:
    chunks = rows.chunks()
    absent = np.setdiff1d(chunks[chunks < built], numbers, assume_unique=True)
    notes.add("not_indexed", "vectors that the index should hold and does not", rows.ids(absent))


def _examine_content(notes: Notes, index: VectorIndex, vectors: FloatArray, manifest: Manifest, ids: pa.Table) -> None:
    tolerance = manifest.index.decode_error + _ROUNDING
    wrong: list[str] = []
    for first in range(0, len(vectors), _BLOCK):
        part = vectors[first : first + _BLOCK]
        decoded = index.reconstruct(np.arange(first, first + len(part), dtype=np.int64))
        off = ~(distances(decoded, part, manifest.metric) <= tolerance)  # NaN is off, too
        wrong += ids["doc_id"].take(pa.array(first + np.flatnonzero(off))).to_pylist()
    notes.add("index_differs", "the index holds other vectors than the table", wrong)


def _examine_recall(notes: Notes, index: VectorIndex, vectors: FloatArray, manifest: Manifest) -> None:
    if not len(vectors):
        return
    recall = measure_recall(index, vectors, k=10, queries=200)
    notes.examined["recall@10"] = round(recall, 4)
    if recall < manifest.index.recall_floor - _RECALL_SLACK:
        floor = manifest.index.recall_floor
        notes.add("recall_low", f"recall@10 is {recall:.3f}, the floor is {floor}", [manifest.index.spec])
