"""Snapshots: the immutable versions of a pair, and how one is written.

A snapshot names an index, the rows it was built from, and how far the vectors table went when it was taken. Taking one
without a new index costs the rows since the last one; searching it is the index plus those rows, exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vecrollback.artifacts import Artifacts
from vecrollback.catalog import now
from vecrollback.errors import CorruptArtifactError, RecallTooLowError
from vecrollback.indexes import VectorIndex, build_index, measure_recall, open_index, resolve_spec
from vecrollback.records import Json, Pair, Snapshot
from vecrollback.vectors import KEY_COLUMNS, FloatArray, Vectors, newest

MANIFEST_FORMAT = 1
RECALL_FLOOR = 0.95
_RECALL_QUERIES = 200
_BLOCK = 65_536
_MORE_EXACT = ("HNSW32,Flat", "Flat")
"""What "auto" falls back to over vectors so close together that a compressed index cannot tell them apart."""


@dataclass(frozen=True, slots=True)
class IndexPart:
    """The index of a snapshot: its spec, artefact and id map, and the rows of the vectors table it was built over.

    `rows`: the table's row count then; later rows are searched exactly. `recall`: at 10, against exact search, measured
    when it was built. `decode_error`: largest 1 - cosine (for "l2": relative distance) between a vector and what the
    index holds of it, over all of them.
    """

    spec: str
    artifact: str
    ids: str
    rows: int
    chunks: int
    recall: float | None
    recall_floor: float
    decode_error: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a snapshot is. `vector_files`: path in the vectors table -> SHA-256."""

    format: int
    pair: str
    number: int
    embedder: str
    fingerprint: str
    contract: Mapping[str, Json]
    dimension: int
    metric: str
    settings: Mapping[str, Json]
    watermark: int
    vectors_version: int
    rows: int
    vector_files: Mapping[str, str]
    index: IndexPart
    probes: str
    created_at: str

    @property
    def chunks(self) -> int:
        """Passages it holds: those of the index and the rows after it, superseded ones included."""
        return self.index.chunks + self.rows - self.index.rows

    def artifacts(self) -> tuple[str, ...]:
        """Names of the artefacts the snapshot cannot do without."""
        return (self.index.artifact, self.index.ids, self.probes)


def load_manifest(artifacts: Artifacts, name: str) -> Manifest:
    """Read and verify a manifest. Raises CorruptArtifactError."""
    body: dict[str, Any] = json.loads(artifacts.read_bytes(name))
    if body["format"] > MANIFEST_FORMAT:
        raise CorruptArtifactError(
            f"manifest {name} has format {body['format']}; this vecrollback knows up to {MANIFEST_FORMAT}",
            hint="pip install --upgrade vecrollback",
        )
    return Manifest(**(body | {"index": IndexPart(**body["index"])}))


def require_files(artifacts: Artifacts, snapshot: Snapshot, vectors: Vectors) -> None:
    """Raises CorruptArtifactError unless all that a snapshot consists of is in place."""
    vectors.table.require()
    for name in load_manifest(artifacts, snapshot.manifest).artifacts():
        artifacts.require(name)


def load_ids(artifacts: Artifacts, manifest: Manifest) -> pa.Table:
    """The id map, memory-mapped: row i tells whose passage position i of the index is. Columns:
    KEY_COLUMNS, and `row`, its number in the vectors table.
    """
    with pa.memory_map(str(artifacts.require(manifest.index.ids))) as source:
        return pa.ipc.open_file(source).read_all()


def load_probes(artifacts: Artifacts, name: str) -> FloatArray:
    """Recorded probe vectors, verified."""
    import io

    loaded: FloatArray = np.load(io.BytesIO(artifacts.read_bytes(name)), allow_pickle=False)
    return loaded


def put_probes(artifacts: Artifacts, vectors: FloatArray) -> str:
    def write(path: Path) -> None:
        with path.open("wb") as stream:
            np.save(stream, vectors, allow_pickle=False)

    return artifacts.put(".npy", write)


class SnapshotWriter:
    """Writes snapshots of one pair. The caller holds the pair's lock and registers what comes back."""

    def __init__(self, artifacts: Artifacts, vectors: Vectors, pair: Pair) -> None:
        self._artifacts = artifacts
        self._vectors = vectors
        self._pair = pair

    def write(
        self,
        number: int,
        *,
        previous: Manifest | None,
        tombstones: dict[str, int],
        files: Mapping[str, str],
        rebuild: bool,
        recall_floor: float = RECALL_FLOOR,
    ) -> Snapshot:
        """Write snapshot `number` of the pair as it stands; with `rebuild`, or without a previous one, a new index.

        `files`: recorded digests of the vectors table's files.

        Raises RecallTooLowError when the new index finds fewer true neighbours than the floor.
        """
        pair, version = self._pair, self._pair.vectors_version
        index = previous.index if previous and not rebuild else self._build(version, tombstones, recall_floor)
        manifest = Manifest(
            format=MANIFEST_FORMAT,
            pair=pair.name,
            number=number,
            embedder=pair.embedder,
            fingerprint=pair.fingerprint,
            contract=pair.contract,
            dimension=pair.dimension,
            metric=pair.metric,
            settings=pair.settings,
            watermark=pair.watermark,
            vectors_version=version,
            rows=self._vectors.rows(version),
            vector_files=self._digests(version, files),
            index=index,
            probes=pair.probes,
            created_at=now(),
        )
        name = self._artifacts.put_json(asdict(manifest))
        return Snapshot(
            pair=pair.name,
            number=number,
            manifest=name,
            watermark=pair.watermark,
            vectors_version=version,
            recall=index.recall,
            chunks=manifest.chunks,
            created_at=manifest.created_at,
        )

    def _build(self, version: int, tombstones: dict[str, int], floor: float) -> IndexPart:
        keys = self._vectors.keys(version)
        rows = newest(keys, tombstones)
        rows = rows[np.asarray(keys["ordinal"])[rows] >= 0]
        vectors = self._vectors.vectors(version)
        if len(rows) < len(vectors):
            vectors = vectors[rows]
        ids = self._artifacts.put(".ids.arrow", lambda path: _write_ids(path, keys, rows))
        for spec in self._specs(len(vectors)):
            artifact, recall, error = self._try(spec, vectors)
            if recall is None or recall >= floor:
                return IndexPart(spec, artifact, ids, keys.num_rows, len(vectors), recall, floor, error)
            self._artifacts.remove(artifact)
        raise RecallTooLowError(
            f"index {spec!r} of pair {self._pair.name!r} has recall@10 {recall:.3f}, the floor is {floor}",
            hint="choose a more exact --index (HNSW32,Flat or Flat), or lower --recall-floor; "
            "the vectors are kept, nothing is embedded again",
        )

    def _specs(self, chunks: int) -> list[str]:
        """What to build, in order, until one reaches the recall floor. Only "auto" leaves a choice."""
        spec = resolve_spec(self._pair.index_spec, chunks)
        return [spec, *(s for s in _MORE_EXACT if s != spec)] if self._pair.index_spec == "auto" else [spec]

    def _try(self, spec: str, vectors: FloatArray) -> tuple[str, float | None, float]:
        """Build an index: its artefact, its recall@10 (None without vectors), its largest decoding error."""
        metric = self._pair.metric
        suffix = ".lance" if spec.startswith("lance:") else ".index"
        artifact = self._artifacts.put(suffix, lambda path: build_index(spec, vectors, metric, path))
        index = open_index(spec, self._artifacts.path(artifact), metric)
        try:
            recall = measure_recall(index, vectors, k=10, queries=_RECALL_QUERIES) if len(vectors) else None
            return artifact, recall, decode_error(index, vectors, metric)
        finally:
            index.close()

    def _digests(self, version: int, known: Mapping[str, str]) -> dict[str, str]:
        table = self._vectors.table
        return {name: known[name] for name in sorted(table.files(table.at(version))) if name.startswith("data/")}


def decode_error(index: VectorIndex, true: FloatArray, metric: str) -> float:
    """Largest distance between vectors and what an index holds of them: 1 - cosine, for "l2" relative."""
    worst = 0.0
    for first in range(0, len(true), _BLOCK):
        part = true[first : first + _BLOCK]
        held = index.reconstruct(np.arange(first, first + len(part), dtype=np.int64))
        worst = max(worst, float(np.max(distances(held, part, metric))))
    return worst


def distances(held: FloatArray, true: FloatArray, metric: str) -> FloatArray:
    """Row by row 1 - cosine, for "l2" the distance relative to the true vector's length."""
    if metric == "l2":
        lengths = np.linalg.norm(true, axis=1)
        return np.asarray(np.linalg.norm(held - true, axis=1) / np.maximum(lengths, 1e-12), dtype=np.float32)
    products = np.linalg.norm(held, axis=1) * np.linalg.norm(true, axis=1)
    return np.asarray(1.0 - np.einsum("ij,ij->i", held, true) / np.maximum(products, 1e-12), dtype=np.float32)


def _write_ids(path: Path, keys: pa.Table, rows: NDArray[np.int64]) -> None:
    numbers = pa.array(rows)
    table = keys.select(KEY_COLUMNS).take(numbers).append_column("row", numbers).combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
