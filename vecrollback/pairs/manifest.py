"""What a snapshot is made of: its manifest, which names every file by digest, and how each is read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vecrollback.arrays import FloatArray
from vecrollback.errors import CorruptArtifactError
from vecrollback.indexes import ShardSpec, VectorIndex, open_index
from vecrollback.indexes.sharded import open_shards
from vecrollback.pairs.vectors import Vectors
from vecrollback.records import Json, Metric, Snapshot
from vecrollback.storage.artifacts import Artifacts

MANIFEST_FORMAT = 2


_WHOLE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ShardPart:
    """One shard of an index: its artefact, and how many chunks are in it, in the order of the id map."""

    artifact: str
    chunks: int


@dataclass(frozen=True, slots=True)
class IndexPart:
    """The index of a snapshot: its spec, artefact and id map, and the rows of the vectors table it was built over.

    `rows`: the table's row count then; later rows are searched exactly. `recall`: at 10, against exact search, measured
    when it was built. `decode_error`: largest 1 - cosine (for "l2": relative distance) between a vector and what the
    index holds of it, over all of them. `shards`: of an index in several parts; `artifact` is empty then.
    """

    spec: str
    artifact: str
    ids: str
    rows: int
    chunks: int
    recall: float | None
    recall_floor: float
    decode_error: float
    shards: tuple[ShardPart, ...] = ()

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Names of the artefacts it is made of, each once: equal shards are stored once."""
        return tuple(dict.fromkeys(shard.artifact for shard in self.shards)) or (self.artifact,)

    @classmethod
    def decoded(cls, body: Mapping[str, Json]) -> IndexPart:
        """From a manifest's JSON. Raises TypeError for what is none."""
        return cls(**{**body, "shards": tuple(ShardPart(**shard) for shard in body.get("shards", ()))})


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
        """Chunks it holds: those of the index and the rows after it, superseded ones included."""
        return self.index.chunks + self.rows - self.index.rows

    def artifacts(self) -> tuple[str, ...]:
        """Names of the artefacts the snapshot cannot do without."""
        return (*self.index.artifacts, self.index.ids, self.probes)

    def encoded(self) -> dict[str, Json]:
        """As JSON: what a snapshot without shards says is what it always said, byte for byte."""
        body = asdict(self)
        if not self.index.shards:
            del body["index"]["shards"]
        return body


def load_manifest(artifacts: Artifacts, name: str) -> Manifest:
    """Read and verify a manifest. Raises CorruptArtifactError."""
    body: dict[str, Any] = json.loads(artifacts.read_bytes(name))
    if body["format"] > MANIFEST_FORMAT:
        raise CorruptArtifactError(
            f"manifest {name} has format {body['format']}; this vecrollback knows up to {MANIFEST_FORMAT}",
            hint="pip install --upgrade vecrollback",
        )
    return Manifest(**(body | {"index": IndexPart.decoded(body["index"])}))


def open_indexed(artifacts: Artifacts, manifest: Manifest) -> VectorIndex:
    """Open the index of a snapshot. Raises CorruptArtifactError."""
    return _opened(artifacts, manifest.index, manifest.metric)  # type: ignore[arg-type]


def _opened(artifacts: Artifacts, part: IndexPart, metric: Metric) -> VectorIndex:
    if not part.shards:
        return open_index(part.spec, artifacts.require(part.artifact), metric)
    paths = [artifacts.require(shard.artifact) for shard in part.shards]
    index = open_shards(ShardSpec.of(part.spec).spec, paths, metric)
    if index.sizes != (named := tuple(shard.chunks for shard in part.shards)):
        index.close()
        raise CorruptArtifactError(
            f"shards hold {list(index.sizes)} chunks, their manifest says {list(named)}",
            hint="`vecrollback snapshot import` a bundle of the pair, or `vecrollback repair` it",
        )
    return index


def require_files(artifacts: Artifacts, snapshot: Snapshot, vectors: Vectors) -> None:
    """Raises CorruptArtifactError unless all that a snapshot consists of is in place."""
    vectors.table.require()
    for name in (snapshot.manifest, *load_manifest(artifacts, snapshot.manifest).artifacts()):
        artifacts.expect(name)


def load_ids(artifacts: Artifacts, manifest: Manifest) -> pa.Table:
    """The id map, memory-mapped: row i tells whose chunk position i of the index is. Columns:
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
