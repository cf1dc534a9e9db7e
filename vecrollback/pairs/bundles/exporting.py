"""Writing a snapshot, the rows it counts and the texts behind them as one file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.catalog import CORPUS, vectors_table
from vecrollback.errors import CorruptArtifactError, PairStateError, UsageError
from vecrollback.pairs.bundles import contents as toc
from vecrollback.pairs.bundles import documents, rows
from vecrollback.pairs.bundles.contents import require_sound_table
from vecrollback.pairs.bundles.log import BundleLog
from vecrollback.pairs.bundles.tar import TarWriter
from vecrollback.pairs.manifest import Manifest, load_manifest
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.vectors import newest
from vecrollback.records import ExportResult, Pair, Progress, ProgressCallback, Snapshot
from vecrollback.storage.local import reach, sha256_file, written

_BLOCK = 1 << 20


class BundleExporter:
    """Exports one snapshot. Everything it reads is immutable, so writers and searches go on meanwhile."""

    def __init__(
        self, resources: Resources, snapshot: Snapshot, progress: ProgressCallback | None, *, model: bool = True
    ) -> None:
        self._catalog, self._corpus, self._artifacts = resources.catalog, resources.corpus, resources.artifacts
        self._snapshot, self._progress = snapshot, progress
        self._pair: Pair = self._catalog.pairs.get(snapshot.pair)
        self._vectors = resources.vectors_of(self._pair)
        self._manifest: Manifest = load_manifest(self._artifacts, snapshot.manifest)
        if self._manifest.cascade is not None:
            raise PairStateError(
                f"{snapshot.ref} is not whole: pair {self._manifest.cascade.source!r} names what it lacks",
                hint=f"`vecrollback catch-up {snapshot.pair}` makes it whole",
            )
        # A pair that was restored stands at an older version than its later snapshots; rows are only ever added.
        self._version = max(self._pair.vectors_version, self._manifest.vectors_version)
        kept = self._catalog.models.kept(self._pair.name) if model else None
        self._model = kept.artifact if kept else ""
        self._current_rows = np.empty(0, np.int64)
        self._documents = self._rows = 0
        self._total = self._manifest.rows
        self._start_time = time.monotonic()

    def run(self, path: Path) -> ExportResult:
        """Write the file; it exists whole or not at all."""
        with self._catalog.reading(vectors_table(self._pair.name)), self._catalog.reading(CORPUS):
            return self._run(path)

    def _run(self, path: Path) -> ExportResult:
        """Write the bundle to `path`, replacing a file there at once or not at all.

        Raises CorruptArtifactError when something that would go into it is damaged.
        """
        if path.is_dir():
            raise UsageError(f"{path} is a folder", hint=f"name a file in it: {path / self._snapshot.ref}.bundle")
        self._require_sound()
        keys = self._vectors.keys(self._version).slice(0, self._manifest.rows)
        # Without tombstones, as the importing side counts: the file says the same where these deletes are unknown.
        self._current_rows = newest(keys, {})
        log = BundleLog.read(self._corpus, self._catalog.ledger.tombstones())
        self._require_sound_log(log)
        change_rows = log.changes_behind(keys.take(pa.array(self._current_rows)))
        self._total = self._manifest.rows + len(change_rows)
        with written(path) as temporary:
            with temporary.open("wb") as stream:
                self._write(stream, log, change_rows)
            size, sha256 = temporary.stat().st_size, sha256_file(temporary)
            reach("bundle.exported")
        return ExportResult(str(path), size, sha256, self._snapshot.ref, self._documents, self._snapshot.chunks)

    def _write(self, stream: BinaryIO, log: BundleLog, change_rows: NDArray[np.int64]) -> None:
        tar, members = TarWriter(stream), dict[str, toc.Member]()

        def add(name: str, parts: Iterable[bytes]) -> None:
            offset, sha256 = tar.begin(), hashlib.sha256()
            for part in parts:
                sha256.update(part)
                stream.write(part)
            members[name] = toc.Member(tar.end(name, offset), sha256.hexdigest())

        for name, file in self._files():
            add(name, _chunks(file))
        add(toc.ROWS, self._keys())
        add(toc.VECTORS, self._matrix())
        add(toc.DOCUMENTS, self._texts(log, change_rows))
        reach("bundle.members_written")
        # After the members, whose digests it lists: so an export is one pass.
        contents = toc.BundleContents(
            store=self._catalog.store_id,
            version=toc.product_version(),
            pair=toc.describe(self._pair),
            snapshot=self._snapshot.number,
            manifest=self._snapshot.manifest,
            members=dict(members),
            format=toc.FORMAT if self._model else toc.PLAIN_FORMAT,
            model=self._model,
        )
        data, seal = toc.encode(contents)
        add(toc.CONTENTS, [data])
        add(toc.SEAL, [seal])
        tar.close()

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Artefacts by member name; one that is a folder file by file."""
        index = self._manifest.index
        yield toc.MANIFEST, self._artifacts.require(self._snapshot.manifest)
        yield toc.PROBES, self._artifacts.require(self._manifest.probes)
        yield toc.IDS, self._artifacts.require(index.ids)
        model = {self._model: toc.MODEL} if self._model else {}
        for artifact, member in {**toc.index_members(index), **model}.items():
            path = self._artifacts.require(artifact)
            if path.is_dir():
                for file in sorted(p for p in path.rglob("*") if p.is_file()):
                    yield f"{member}/{file.relative_to(path).as_posix()}", file
            else:
                yield member, path

    def _keys(self) -> Iterator[bytes]:
        fingerprint, first = self._manifest.fingerprint, 0
        for batch in rows.blocks(self._vectors, self._version, rows.COLUMNS, self._manifest.rows):
            foreign = np.asarray(pc.not_equal(batch["fingerprint"], fingerprint))
            if foreign[self._current_in(first, batch.num_rows)].any():
                raise self._unfit("vectors recorded as made by another embedder")
            yield rows.encode_keys(batch)
            first += batch.num_rows

    def _matrix(self) -> Iterator[bytes]:
        dimension = self._manifest.dimension
        for batch in rows.blocks(self._vectors, self._version, ["vector"], self._manifest.rows):
            data = rows.encode_vectors(batch, dimension)
            finite = np.isfinite(np.frombuffer(data, "<f4").reshape(-1, dimension)).all(axis=1)
            if not finite[self._current_in(self._rows, batch.num_rows)].all():
                raise self._unfit("vectors with NaN or infinite values")
            yield data
            self._rows += batch.num_rows
            self._report()

    def _texts(self, log: BundleLog, change_rows: NDArray[np.int64]) -> Iterator[bytes]:
        for batch in self._corpus.scan(log.version, columns=documents.COLUMNS):
            texts = batch.filter(pa.array(_among(change_rows, np.asarray(batch["_seq"]))))
            yield from documents.encode(texts)
            self._documents += texts.num_rows
            self._report()

    def _current_in(self, first: int, length: int) -> NDArray[np.int64]:
        """Which of `length` rows from `first` count, from 0."""
        begin, end = np.searchsorted(self._current_rows, [first, first + length])
        return self._current_rows[begin:end] - first

    def _require_sound(self) -> None:
        """Refuse to export damaged bytes: such a bundle would not be a backup."""
        for name in (self._snapshot.manifest, *self._manifest.artifacts()):
            if wrong := self._artifacts.verify(name):
                raise CorruptArtifactError(
                    f"artefact {wrong}", hint=f"`vecrollback check {self._pair.name}` lists all that is wrong"
                )
        if self._model and (wrong := self._artifacts.verify(self._model)):
            raise CorruptArtifactError(
                f"the kept model {wrong}",
                hint=f"keep it anew: `vecrollback embedder keep {self._pair.name}`; or export with --no-model",
            )
        files = self._catalog.files.of(vectors_table(self._pair.name))
        require_sound_table(self._vectors.files, self._version, files)

    def _require_sound_log(self, log: BundleLog) -> None:
        table, files = self._corpus.table, self._catalog.files.of(CORPUS)
        table.require_sound([table.manifest(log.version)], files)
        table.require_sound(table.files(table.at(log.version)), files)

    def _unfit(self, what: str) -> CorruptArtifactError:
        return CorruptArtifactError(
            f"snapshot {self._snapshot.ref} holds {what}",
            hint=f"`vecrollback repair {self._pair.name}`, then export its new snapshot",
        )

    def _report(self) -> None:
        if self._progress is not None:
            count, elapsed = self._rows + self._documents, time.monotonic() - self._start_time
            self._progress(Progress("", "exporting", count, self._total, self._rows, 0, 0, elapsed))


def _among(ascending: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    places = np.searchsorted(ascending, values)
    matches = np.append(ascending, -1)[places] == values
    return np.asarray(matches, dtype=bool)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block
