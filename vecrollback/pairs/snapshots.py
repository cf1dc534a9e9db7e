"""Snapshots: the immutable versions of a pair, and how one is written.

A snapshot names an index, the rows it was built from, and how far the vectors table went when it was taken. Taking one
without a new index costs the rows since the last one; searching it is the index plus those rows, exactly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vecrollback.arrays import FloatArray
from vecrollback.catalog import now
from vecrollback.errors import CorruptArtifactError, RecallTooLowError, UsageError
from vecrollback.indexes import Sharding, VectorIndex, build_index, measure_recall, open_index, resolve_spec
from vecrollback.indexes.sharded import Arrangement, ShardBuilder, ShardsDone, arranged, lay_out, open_shards
from vecrollback.pairs.vectors import KEY_COLUMNS, Vectors, newest
from vecrollback.records import Json, Metric, Pair, Snapshot
from vecrollback.storage import memmap
from vecrollback.storage.artifacts import Artifacts, remove

MANIFEST_FORMAT = 2
_WHOLE_FORMAT = 1
"""Of a manifest whose index is not sharded: programs that know no shards read it as ever."""
RECALL_FLOOR = 0.95
_RECALL_QUERIES = 200
_BLOCK = 65_536
_MORE_EXACT = ("HNSW32,Flat", "Flat")
"""What "auto" falls back to over vectors so close together that a compressed index cannot tell them apart."""


@dataclass(frozen=True, slots=True)
class ShardPart:
    """One shard of an index: its artefact, and how many passages are in it, in the order of the id map."""

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
        """Passages it holds: those of the index and the rows after it, superseded ones included."""
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


def open_indexed(artifacts: Artifacts, manifest: Manifest, *, serving: bool = False) -> VectorIndex:
    """Open the index of a snapshot. `serving`: for queries, so its shards may be put where the environment says.

    Raises CorruptArtifactError.
    """
    return _opened(artifacts, manifest.index, manifest.metric, serving=serving)  # type: ignore[arg-type]


def _opened(artifacts: Artifacts, part: IndexPart, metric: Metric, *, serving: bool = False) -> VectorIndex:
    if not part.shards:
        return open_index(part.spec, artifacts.require(part.artifact), metric)
    paths = [artifacts.require(shard.artifact) for shard in part.shards]
    index = open_shards(Sharding.of(part.spec).spec, paths, metric, serving=serving)
    if index.sizes != (named := tuple(shard.chunks for shard in part.shards)):
        index.close()
        raise CorruptArtifactError(
            f"shards hold {list(index.sizes)} passages, their manifest says {list(named)}",
            hint="`vecrollback snapshot import` a bundle of the pair, or `vecrollback repair` it",
        )
    return index


def require_files(artifacts: Artifacts, snapshot: Snapshot, vectors: Vectors) -> None:
    """Raises CorruptArtifactError unless all that a snapshot consists of is in place."""
    vectors.table.require()
    for name in (snapshot.manifest, *load_manifest(artifacts, snapshot.manifest).artifacts()):
        artifacts.expect(name)


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


_Make = Callable[[str], tuple[str, tuple[ShardPart, ...]]]
"""Makes an index of a spec: the artefact, or the shards."""


class SnapshotWriter:
    """Writes snapshots of one pair. The caller holds the pair's lock and registers what comes back."""

    def __init__(self, artifacts: Artifacts, vectors: Vectors, pair: Pair, told: ShardsDone | None = None) -> None:
        self._artifacts = artifacts
        self._vectors = vectors
        self._pair = pair
        self._told = told

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
            format=MANIFEST_FORMAT if index.shards else _WHOLE_FORMAT,
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
        name = self._artifacts.put_json(manifest.encoded())
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
        arrangement = arranged(keys["doc_id"], rows, Sharding.of(self._pair.index_spec).count)
        ids = self._artifacts.put(".ids.arrow", lambda path: _write_ids(path, keys, arrangement.rows))
        part = partial(IndexPart, ids=ids, rows=keys.num_rows, chunks=len(rows), recall_floor=floor)
        sharded = len(arrangement.slices) > 1
        source = self._in_shards(version, arrangement, keys.num_rows) if sharded else self._whole(version, rows)
        with source as (vectors, make):
            for spec in self._specs(len(rows)):
                artifact, shards = make(spec)
                built = part(spec=spec, artifact=artifact, shards=shards, recall=None, decode_error=0.0)
                built = self._measured(built, vectors)
                if built.recall is None or built.recall >= floor:
                    return built
        # The index that was built is left to prune: equal bytes are stored once, so another pair may live on them.
        raise RecallTooLowError(
            f"index {spec!r} of pair {self._pair.name!r} has recall@10 {built.recall:.3f}, the floor is {floor}",
            hint="choose a more exact --index (HNSW32,Flat or Flat), or lower --recall-floor; "
            "the vectors are kept, nothing is embedded again",
        )

    def _specs(self, chunks: int) -> list[str]:
        """What to build, in order, until one reaches the recall floor. Only "auto" leaves a choice."""
        spec, sharding = resolve_spec(self._pair.index_spec, chunks), Sharding.of(self._pair.index_spec)
        if sharding.spec != "auto":
            return [spec]
        return [spec, *(other for s in _MORE_EXACT if (other := sharding.around(s)) != spec)]

    @contextmanager
    def _whole(self, version: int, rows: NDArray[np.int64]) -> Iterator[tuple[FloatArray, _Make]]:
        """The vectors, and how one index of them is made."""
        vectors, metric = memmap.take(self._vectors.vectors(version), rows), self._pair.metric

        def make(spec: str) -> tuple[str, tuple[ShardPart, ...]]:
            return self._artifacts.put(_suffix(spec), lambda path: build_index(spec, vectors, metric, path)), ()

        yield vectors, make

    @contextmanager
    def _in_shards(self, version: int, arrangement: Arrangement, total: int) -> Iterator[tuple[FloatArray, _Make]]:
        """The vectors in a file, and how an index of them is made in shards. A killed build is gone on with."""
        folder = self._artifacts.unfinished(f".building-{self._pair.name}")
        laid = lay_out(folder, self._vectors.blocks(version), arrangement, total=total, dimension=self._pair.dimension)
        builder = ShardBuilder(
            laid, put=self._artifacts.put, sound=lambda name: self._artifacts.verify(name) is None, told=self._told
        )

        def make(spec: str) -> tuple[str, tuple[ShardPart, ...]]:
            inner = Sharding.of(spec).spec
            names = builder.build(inner, self._pair.metric, _suffix(inner))
            return "", tuple(
                ShardPart(name, one.stop - one.start) for name, one in zip(names, laid.slices, strict=True)
            )

        try:
            yield laid.vectors, make
        except UsageError:
            remove(folder)
            raise
        remove(folder)

    def _measured(self, part: IndexPart, vectors: FloatArray) -> IndexPart:
        """With its recall@10 (None without vectors) and its largest decoding error."""
        index = _opened(self._artifacts, part, self._pair.metric)
        try:
            recall = measure_recall(index, vectors, k=10, queries=_RECALL_QUERIES) if len(vectors) else None
            return replace(part, recall=recall, decode_error=decode_error(index, vectors, self._pair.metric))
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


def _suffix(spec: str) -> str:
    return ".lance" if spec.startswith("lance:") else ".index"


def _write_ids(path: Path, keys: pa.Table, rows: NDArray[np.int64]) -> None:
    numbers = pa.array(rows)
    table = keys.select(KEY_COLUMNS).take(numbers).append_column("row", numbers).combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
