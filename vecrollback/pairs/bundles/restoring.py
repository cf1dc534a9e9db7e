"""Putting a snapshot back into the store and the pair it was exported from."""

from __future__ import annotations

from vecrollback.catalog import Catalog, vectors_table
from vecrollback.errors import BundleError, CorruptArtifactError
from vecrollback.pairs.bundles.contents import require_sound_table
from vecrollback.pairs.bundles.unpacking import UnpackedBundle
from vecrollback.pairs.manifest import Manifest
from vecrollback.pairs.snapshots import require_files
from vecrollback.pairs.vectors import Vectors
from vecrollback.records import Pair, Snapshot
from vecrollback.storage.artifacts import Artifacts


def put_back(catalog: Catalog, artifacts: Artifacts, vectors: Vectors, pair: Pair, bundle: UnpackedBundle) -> Snapshot:
    """Restore the artefacts of the snapshot, byte for byte, and its row in the catalog where that is gone.

    The pair's vectors are in its table, which must be sound; where the pair stands and what serves does not change.
    The caller holds the pair's lock. Raises CorruptArtifactError for the table, BundleError when the number belongs to
    another snapshot by now; then nothing was changed.
    """
    manifest = bundle.manifest
    entry = next((s for s in catalog.pairs.snapshots(pair.name) if s.number == manifest.number), None)
    if entry is not None and entry.manifest != bundle.contents.manifest:
        raise BundleError(
            f"{entry.ref} is another snapshot in this store than in the bundle",
            hint="import it under another name: `vecrollback snapshot import FILE --name NEW`",
        )
    _require_rows(catalog, vectors, pair, manifest)
    model = bundle.kept_model(pair.name)
    for name, file in {**bundle.artifacts(), **bundle.model()}.items():
        artifacts.restore(name, file)
    if model:
        catalog.models.keep(model, lambda: artifacts.expect(model.artifact))
    if entry is not None:
        return entry
    # The files are in place before the row that names them exists.
    snapshot = _snapshot_of(bundle)
    catalog.pairs.adopt(snapshot, present=lambda: require_files(artifacts, snapshot, vectors))
    return snapshot


def _require_rows(catalog: Catalog, vectors: Vectors, pair: Pair, manifest: Manifest) -> None:
    files = catalog.files.of(vectors_table(pair.name))
    version = max(pair.vectors_version, manifest.vectors_version)
    require_sound_table(vectors.files, version, files)
    if (
        not pair.backend
        and manifest.vectors_version < version
        and not vectors.table.file_store.exists(vectors.table.manifest(manifest.vectors_version))
    ):
        raise CorruptArtifactError(
            f"the vectors of pair {pair.name!r} as snapshot {manifest.number} had them were cleaned away with it",
            hint="import the bundle under another name: `vecrollback snapshot import FILE --name NEW`",
        )
    if vectors.rows(version) < manifest.rows or any(files.get(f) != d for f, d in manifest.vector_files.items()):
        raise CorruptArtifactError(
            f"the vectors table of pair {pair.name!r} is not the one that snapshot {manifest.number} was taken of",
            hint="import the bundle under another name: `vecrollback snapshot import FILE --name NEW`",
        )


def _snapshot_of(bundle: UnpackedBundle) -> Snapshot:
    manifest = bundle.manifest
    return Snapshot(
        pair=manifest.pair,
        number=manifest.number,
        manifest=bundle.contents.manifest,
        watermark=manifest.watermark,
        vectors_version=manifest.vectors_version,
        created_at=manifest.created_at,
        recall=manifest.index.recall,
        chunks=manifest.chunks,
    )
