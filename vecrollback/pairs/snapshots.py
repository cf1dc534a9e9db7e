"""Snapshots: the immutable versions of a pair, how one is written and how its files are read back.

A snapshot names an index, the rows it was built from, and how far the vectors table went when it was taken. Taking one
without a new index costs the rows since the last one; searching it is the index plus those rows, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vecrollback.catalog import now
from vecrollback.errors import CorruptArtifactError, RecallTooLowError, UsageError
from vecrollback.indexes import (
    ShardSpec,
    VectorIndex,
    build_index,
    index_suffix,
    measure_recall,
    open_index,
    specs_to_build,
)
from vecrollback.indexes.exact import decode_error
from vecrollback.indexes.sharded import ShardBuilder, ShardLayout, ShardsDone, arranged, lay_out, open_shards
from vecrollback.pairs.backend_index import BackendIndex
from vecrollback.pairs.backend_vectors import BackendVectors
from vecrollback.pairs.manifest import (
    MANIFEST_FORMAT,
    SHARDED_FORMAT,
    WHOLE_FORMAT,
    CascadePart,
    IndexPart,
    Manifest,
    ShardPart,
    load_manifest,
)
from vecrollback.pairs.vectors import KEY_COLUMNS, Vectors, newest
from vecrollback.records import RECALL_FLOOR, Metric, Pair, Snapshot
from vecrollback.records.arrays import FloatArray, take_rows
from vecrollback.storage.artifacts import Artifacts, remove
from vecrollback.storage.artifacts.base import MEND, changed, digest
from vecrollback.storage.reading import readable

_RECALL_QUERIES = 200

_Make = Callable[[str], tuple[str, tuple[ShardPart, ...]]]
"""Makes an index of a spec: the artefact, or the shards."""


class SnapshotWriter:
    """Writes snapshots of one pair. The caller holds the pair's lock and registers what comes back."""

    def __init__(self, artifacts: Artifacts, vectors: Vectors, pair: Pair, on_shard: ShardsDone | None = None) -> None:
        self._artifacts = artifacts
        self._vectors = vectors
        self._pair = pair
        self._on_shard = on_shard

    def write(
        self,
        number: int,
        *,
        previous: Manifest | None,
        tombstones: dict[str, int],
        files: Mapping[str, str],
        rebuild: bool,
        recall_floor: float = RECALL_FLOOR,
        cascade: CascadePart | None = None,
    ) -> Snapshot:
        """Write snapshot `number` of the pair as it stands; with `rebuild`, or without a previous one, a new index.

        `files`: recorded digests of the vectors table's files. `cascade`: of a pair that serves before it is whole; its
        index is one of few vectors, whatever the pair is to have.

        Raises RecallTooLowError when the new index finds fewer true neighbours than the floor, and CorruptArtifactError
        when the vectors that it would be built from are not what was acknowledged.
        """
        pair, version = self._pair, self._pair.vectors_version
        if previous and not rebuild:
            index = previous.index
        else:
            self._vectors.require_sound(version, files)  # an index of damaged vectors would have a sound digest
            index = self._build(version, tombstones, recall_floor, self._pair.index_spec if cascade is None else "auto")
        manifest = Manifest(
            format=MANIFEST_FORMAT if cascade else SHARDED_FORMAT if index.shards else WHOLE_FORMAT,
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
            cascade=cascade,
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

    def _build(self, version: int, tombstones: dict[str, int], floor: float, wanted: str) -> IndexPart:
        keys = self._vectors.keys(version)
        rows = newest(keys, tombstones)
        # Ordinal -1 stands for a text without chunks: its vector is zero and nothing may find it.
        rows = rows[np.asarray(keys["ordinal"])[rows] >= 0]
        sharding, arrangement = ShardSpec.of("" if self._pair.backend else wanted), None
        if sharding.sharded:
            arrangement = arranged(keys["doc_id"], rows, sharding.count)
            rows = arrangement.rows
        ids = self._artifacts.put(".ids.arrow", lambda path: _write_ids(path, keys, rows))
        make_part = partial(IndexPart, ids=ids, rows=keys.num_rows, chunks=len(rows), recall_floor=floor)
        source = self._in_shards(version, arrangement, keys.num_rows) if arrangement else self._whole(version, rows)
        with source as (vectors, make):
            for spec in self._specs(wanted, len(rows)):
                artifact, shards = make(spec)
                index = make_part(spec=spec, artifact=artifact, shards=shards, recall=None, decode_error=0.0)
                index = self._measure(index, vectors)
                if index.recall is None or index.recall >= floor:
                    return index
        # The index that was built is left to prune: equal bytes are stored once, so another pair may live on them.
        raise RecallTooLowError(
            f"index {spec!r} of pair {self._pair.name!r} has recall@10 {index.recall:.3f}, the floor is {floor}",
            hint="choose a more exact --index (HNSW32,Flat or Flat), or lower --recall-floor; "
            "the vectors are kept, nothing is embedded again",
        )

    def _specs(self, wanted: str, chunks: int) -> list[str]:
        """What to build, in order, until an index finds enough."""
        if isinstance(self._vectors, BackendVectors):
            return self._vectors.backend.specs(wanted)
        return specs_to_build(wanted, chunks)

    @contextmanager
    def _whole(self, version: int, rows: NDArray[np.int64]) -> Iterator[tuple[FloatArray, _Make]]:
        """The vectors, and how one index of them is made."""
        vectors, metric = take_rows(self._vectors.vectors(version), rows), self._pair.metric

        def make(spec: str) -> tuple[str, tuple[ShardPart, ...]]:
            if isinstance(self._vectors, BackendVectors):
                return self._sealed(self._vectors, spec, version), ()
            return self._artifacts.put(index_suffix(spec), lambda path: build_index(spec, vectors, metric, path)), ()

        yield vectors, make

    def _sealed(self, vectors: BackendVectors, spec: str, version: int) -> str:
        """Build the index where the vectors lie; the artefact says where that is."""
        vectors.backend.seal(spec)
        return self._artifacts.put_json(
            {"backend": vectors.backend.place, "index": spec, "pair": self._pair.name, "vectors_version": version}
        )

    @contextmanager
    def _in_shards(self, version: int, arrangement: ShardLayout, total: int) -> Iterator[tuple[FloatArray, _Make]]:
        """The vectors in a file, and how an index of them is made in shards. A killed build is continued."""
        folder = self._artifacts.unfinished(f".building-{self._pair.name}")
        shard_vectors = lay_out(
            folder, self._vectors.blocks(version), arrangement, total=total, dimension=self._pair.dimension
        )
        builder = ShardBuilder(
            shard_vectors,
            put=self._artifacts.put,
            sound=lambda name: self._artifacts.verify(name) is None,
            on_shard=self._on_shard,
        )

        def make(spec: str) -> tuple[str, tuple[ShardPart, ...]]:
            inner = ShardSpec.of(spec).spec
            names = builder.build(inner, self._pair.metric, index_suffix(inner))
            return "", tuple(
                ShardPart(name, one.stop - one.start) for name, one in zip(names, shard_vectors.slices, strict=True)
            )

        try:
            yield shard_vectors.vectors, make
        except UsageError:
            # A spec that cannot be built fails again. After any other end, the next build goes on with what is here.
            remove(folder)
            raise
        remove(folder)

    def _measure(self, part: IndexPart, vectors: FloatArray) -> IndexPart:
        """With its recall@10 (None without vectors) and its largest decoding error."""
        index = _open(self._artifacts, part, self._pair.metric, self._vectors)
        try:
            recall = measure_recall(index, vectors, k=10, queries=_RECALL_QUERIES) if len(vectors) else None
            # A database gives back the very vectors that were just read from it.
            error = 0.0 if self._pair.backend else decode_error(index, vectors, self._pair.metric)
            return replace(part, recall=recall, decode_error=error)
        finally:
            index.close()

    def _digests(self, version: int, digests: Mapping[str, str]) -> dict[str, str]:
        files = self._vectors.files
        return {name: digests[name] for name in sorted(files.files(files.at(version))) if name.startswith("data/")}


def _write_ids(path: Path, keys: pa.Table, rows: NDArray[np.int64]) -> None:
    numbers = pa.array(rows)
    table = keys.select(KEY_COLUMNS).take(numbers).append_column("row", numbers).combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def open_indexed(artifacts: Artifacts, manifest: Manifest, vectors: Vectors) -> VectorIndex:
    """Open the index of a snapshot of these vectors. Raises CorruptArtifactError."""
    return _open(artifacts, manifest.index, manifest.metric, vectors)  # type: ignore[arg-type]


def _open(artifacts: Artifacts, part: IndexPart, metric: Metric, vectors: Vectors) -> VectorIndex:
    if isinstance(vectors, BackendVectors):
        numbers = np.asarray(_read_ids(artifacts, part.ids)["row"])
        return BackendIndex(vectors.backend, part.spec, numbers, vectors.dimension, metric, part.rows)
    if not part.shards:
        return open_index(part.spec, artifacts.require_sound(part.artifact), metric)
    paths = [artifacts.require_sound(shard.artifact) for shard in part.shards]
    index = open_shards(ShardSpec.of(part.spec).spec, paths, metric)
    if index.sizes != (sizes := tuple(shard.chunks for shard in part.shards)):
        index.close()
        raise CorruptArtifactError(
            f"shards hold {list(index.sizes)} chunks, their manifest says {list(sizes)}",
            hint="`vecrollback snapshot import` a bundle of the pair, or `vecrollback repair` it",
        )
    return index


def require_files(artifacts: Artifacts, snapshot: Snapshot, vectors: Vectors) -> None:
    """Raise CorruptArtifactError unless all that a snapshot consists of is in place."""
    vectors.files.require()
    for name in (snapshot.manifest, *load_manifest(artifacts, snapshot.manifest).artifacts()):
        artifacts.expect(name)


def load_ids(artifacts: Artifacts, manifest: Manifest) -> pa.Table:
    """The id map, memory-mapped: row i says whose chunk is at position i of the index. Columns:
    KEY_COLUMNS, and `row`, its number in the vectors table.

    Its bytes are compared with its digest first: a changed one would name another document.
    Raises CorruptArtifactError.
    """
    return _read_ids(artifacts, manifest.index.ids)


def _read_ids(artifacts: Artifacts, name: str) -> pa.Table:
    path = artifacts.require(name)
    with readable(f"artefact {name}", hint=MEND):
        if not name.startswith(digest(path)):
            raise changed(name)
        try:
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
        except pa.ArrowException as error:  # it also says "not implemented" of what was never written
            raise pa.ArrowInvalid(str(error)) from error
        # The digest says that it is what its manifest names, not who made it: reading follows its offsets unchecked.
        table.validate(full=True)
        if not all(_is_column_of_ids(table, name) for name in (*KEY_COLUMNS, "row")):
            raise pa.ArrowInvalid("its columns are not those of an id map")
        return table


def _is_column_of_ids(table: pa.Table, name: str) -> bool:
    if name not in table.schema.names or table[name].null_count:
        return False
    kind = table.schema.field(name).type
    if name == "content_hash":
        return bool(kind == pa.binary(16))
    return bool(pa.types.is_string(kind) if name == "doc_id" else pa.types.is_integer(kind))
