"""Making a pair of a bundle that comes from another store, or whose pair is gone from this one.

The log of this store decides. A text that is the same here keeps its vectors, under this store's seq; one that differs
is left to the next catch-up; one that was deleted here stays deleted; one this store never had is written to its log
first. The index is always built again over what was kept: positions need no holes, and no index file of unknown origin
is ever parsed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vecrollback.embedders import require_allowed
from vecrollback.pairs.bundles import contents as toc
from vecrollback.pairs.bundles.documents import read_documents
from vecrollback.pairs.bundles.log import BundleLog
from vecrollback.pairs.bundles.rows import ReceivedRows
from vecrollback.pairs.bundles.unpacking import UnpackedBundle
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.snapshots import SnapshotWriter, require_files
from vecrollback.pairs.vectors import Vectors
from vecrollback.records import Pair, Snapshot
from vecrollback.storage import LocalFileStore
from vecrollback.storage.artifacts import LocalArtifacts
from vecrollback.storage.local import reach

_APPEND_BYTES = 64 << 20
_TABLE = "vectors.lance"


class BundleImporter:
    """Makes one pair. The caller holds the pair's lock, and has found its name free."""

    def __init__(self, resources: Resources, bundle: UnpackedBundle, name: str, workspace: Path) -> None:
        self._catalog, self._corpus, self._artifacts = resources.catalog, resources.corpus, resources.artifacts
        self._vectors_of, self._root = resources.vectors_of, resources.root
        self._bundle, self._workspace = bundle, workspace
        self._new_artifacts = LocalArtifacts(workspace / "artifacts")
        manifest = bundle.manifest
        self._model = bundle.kept_model(name)
        self._pair = Pair(
            **dict(bundle.contents.pair) | {"name": name, "settings": dict(manifest.settings)},
            state="ready",
            snapshot=manifest.number,
            watermark=0,
            vectors_version=0,
            state_reason=f"imported from {manifest.pair}@{manifest.number} of store {bundle.contents.store[:12]}",
        )

    def run(self) -> Snapshot:
        """Read everything once to be sure of it, then write documents, vectors, index and, last, the catalog.

        Raises BundleError, and UntrustedError for an embedder that nobody has allowed here, before anything was
        written.
        """
        require_allowed(self._pair.embedder, store=self._root)
        rows = ReceivedRows(self._bundle.folder, self._bundle.manifest)
        self._check_documents()
        self._write_documents()
        log = BundleLog.read(self._corpus, self._catalog.ledger.tombstones())
        places = log.places(rows.keys.take(pa.array(rows.current)))
        same_text = places >= 0
        vectors, files = self._write_vectors(rows, rows.current[same_text], log.seq[places[same_text]])
        reach("bundle.rows_written")
        self._pair = replace(self._pair, watermark=log.covered_by(places[same_text]))
        snapshot = self._write_snapshot(vectors, files)
        reach("bundle.index_built")
        self._publish()
        # The catalog comes last: a process that dies before leaves files that no row names, and nothing serves them.
        own = self._vectors_of(self._pair)

        def present() -> None:
            require_files(self._artifacts, snapshot, own)
            if self._model is not None:
                self._artifacts.expect(self._model.artifact)

        self._catalog.pairs.adopt(snapshot, self._pair, files, present, self._model)
        return snapshot

    # -- documents ----------------------------------------------------------------------------------------------------

    def _check_documents(self) -> None:
        """Every document is valid."""
        for _ in read_documents(self._bundle.folder / toc.DOCUMENTS):
            pass

    def _write_documents(self) -> None:
        """Give the log the documents that it never had. Each batch is acknowledged, so a second import goes on."""
        tombstones = self._catalog.ledger.tombstones()
        for batch in read_documents(self._bundle.folder / toc.DOCUMENTS):
            self._corpus.upsert([document for document in batch if document.key not in tombstones], unknown_only=True)
            reach("bundle.documents_written")

    # -- vectors and index, in the workspace --------------------------------------------------------------------------

    def _write_vectors(
        self, rows: ReceivedRows, numbers: NDArray[np.int64], seq: NDArray[np.int64]
    ) -> tuple[Vectors, dict[str, str]]:
        vectors = Vectors(LocalFileStore(self._workspace / _TABLE), self._pair.dimension)
        commit = vectors.create()
        files, first = dict(commit.files), commit.version
        step = max(1, _APPEND_BYTES // (4 * self._pair.dimension))
        for begin in range(0, len(numbers), step):
            part = slice(begin, begin + step)
            # One number for all: of rows with different ones, only those of the highest would count.
            table = rows.table(numbers[part], seq=seq[part], batch=first, fingerprint=self._pair.fingerprint)
            commit = vectors.append(table, known=commit.version)
            files |= commit.files
        self._pair = replace(self._pair, vectors_version=commit.version)
        return vectors, files

    def _write_snapshot(self, vectors: Vectors, files: dict[str, str]) -> Snapshot:
        manifest = self._bundle.manifest
        return SnapshotWriter(self._new_artifacts, vectors, self._pair).write(
            manifest.number,
            previous=None,
            tombstones=self._catalog.ledger.tombstones(),
            files=files,
            rebuild=True,
            recall_floor=manifest.index.recall_floor,
        )

    # -- into the store -----------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        for artifact in sorted(self._new_artifacts.root.iterdir()):
            self._artifacts.restore(artifact.name, artifact)
        for name, folder in self._bundle.model().items():
            self._artifacts.restore(name, folder)
        self._artifacts.restore(self._bundle.manifest.probes, self._bundle.folder / toc.PROBES)
        # No catalog row names a table that stands there already: an import or a build that died before its last step
        # left it.
        place = self._vectors_of(self._pair).table.file_store
        place.receive(self._workspace / _TABLE, self._workspace / "left-over.lance")
        reach("bundle.table_moved")
