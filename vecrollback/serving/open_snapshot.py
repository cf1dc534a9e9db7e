"""A snapshot opened for search: index, id map and manifest, freed on a thread of their own."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.corpus.selection import in_namespace
from vecrollback.corpus.text_cache import hash_matrix
from vecrollback.indexes import VectorIndex
from vecrollback.pairs.backend_index import BackendIndex
from vecrollback.pairs.manifest import Manifest, load_manifest
from vecrollback.pairs.snapshots import load_ids, open_indexed
from vecrollback.pairs.vectors import Vectors
from vecrollback.records import Snapshot
from vecrollback.records.arrays import Mask
from vecrollback.serving.masks import frozen, is_in
from vecrollback.storage.artifacts import Artifacts

_KEPT_NAMESPACES = 64
"""Masks of a byte for every position."""


class OpenSnapshot:
    """The files of one snapshot, opened once per process and shared by all views of it.

    When the last view is gone the index is closed on a thread of its own: freeing a large one holds the GIL.
    """

    def __init__(self, artifacts: Artifacts, snapshot: Snapshot, vectors: Vectors) -> None:
        self.ref = snapshot.ref
        self.manifest: Manifest = load_manifest(artifacts, snapshot.manifest)
        # As long as this lives, no cleaning of the cache takes the files away under an open index.
        self._lease = artifacts.keep(self.manifest.artifacts())
        table = load_ids(artifacts, self.manifest)
        self.ids: pa.Array = _array(table["doc_id"])
        self.seq = np.asarray(table["seq"])
        self.ordinals = np.asarray(table["ordinal"])
        self.spans = np.stack([np.asarray(table["start"]), np.asarray(table["end"])], axis=1)
        self.hashes = hash_matrix(table["content_hash"])
        self.index: VectorIndex = open_indexed(artifacts, self.manifest, vectors)
        self.rows = np.asarray(table["row"])
        self.one_chunk_each = not np.any(self.ordinals)
        self.has_namespaces = not pc.all(in_namespace(self.ids, "")).as_py() if len(self.ids) else False
        self._in_namespaces: dict[str, Mask] = {}
        # Not at exit: the process frees its memory anyway, and its threads may be gone by then.
        weakref.finalize(self, _reaper.put, self.index).atexit = False

    def in_namespace(self, namespace: str) -> Mask:
        """Which positions are of documents in a namespace, "" for none. They never change, so they are kept."""
        mask = self._in_namespaces.get(namespace)
        if mask is None:
            if len(self._in_namespaces) >= _KEPT_NAMESPACES:
                self._in_namespaces.clear()
            mask = frozen(np.asarray(in_namespace(self.ids, namespace), dtype=bool).copy())
            self._in_namespaces[namespace] = mask
        return mask

    def index_within(self, namespace: str) -> VectorIndex:
        """What is searched where a mask leaves documents of one namespace alone, "" for those in none."""
        if not namespace or not isinstance(self.index, BackendIndex):
            return self.index
        return self.index.within(namespace, int(np.count_nonzero(self.in_namespace(namespace))))

    def positions_of(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Positions of all chunks of these documents."""
        return np.flatnonzero(is_in(self.ids, pa.array(list(ids), pa.string())))


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class _Reaper:
    """Closes indexes on a thread that no query runs on, started when there is first something to close."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[VectorIndex] = queue.SimpleQueue()
        self._pid = 0

    def put(self, index: VectorIndex) -> None:
        if self._pid != os.getpid():  # also after a fork, which copies no threads
            self._pid, self._queue = os.getpid(), queue.SimpleQueue()
            threading.Thread(target=self._work, name="vecrollback-reaper", daemon=True).start()
        self._queue.put(index)

    def _work(self) -> None:
        while True:
            self._queue.get().close()


_reaper = _Reaper()
