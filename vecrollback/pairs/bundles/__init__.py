"""A snapshot as one file: a backup that holds all it takes, and the way from one store to another.

A bundle is a plain tar (see `tar`) of, in this order::

    manifest.json probes.npy ids.arrow index    the snapshot's artefacts, byte for byte; `index/...` when it is a folder
    model/...                                   the files of the pair's model, where the store keeps them
    rows.jsonl vectors.f32                      every row of the vectors table that the snapshot counts
    documents.jsonl                             the texts those rows were made from, as far as they are still live
    bundle.json bundle.sha256                   whose snapshot this is, size and SHA-256 of every member; its own digest

All of it is verified before anything in a store changes. Its digests tell damage, not who made it: that is what a
signature beside it is for (`storage.signing`). Importing loads no model, but the pair names one: look at the embedder
of a bundle from an unknown hand before the pair catches up or serves. A bundle whose model brings programs along is
refused unless somebody trusts them.
"""

from __future__ import annotations

from pathlib import Path

from vecrollback.catalog import NAME_RULE, valid_pair_name
from vecrollback.errors import BundleError, CorruptArtifactError, UsageError
from vecrollback.pairs.bundles.exporting import BundleExporter
from vecrollback.pairs.bundles.importing import BundleImporter
from vecrollback.pairs.bundles.restoring import put_back
from vecrollback.pairs.bundles.unpacking import UnpackedBundle, unpack
from vecrollback.pairs.manifest import load_manifest
from vecrollback.pairs.resources import Resources
from vecrollback.records import ExportResult, Pair, ProgressCallback, Snapshot
from vecrollback.storage.signing import BUNDLE, require_key, sign_file, signature_path

__all__ = ["Bundles"]


class Bundles:
    """Exports and imports the snapshots of one store."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._catalog, self._artifacts = resources, resources.catalog, resources.artifacts

    def export(
        self,
        ref: str,
        path: Path,
        progress: ProgressCallback | None = None,
        *,
        sign: bool = False,
        model: bool = True,
    ) -> ExportResult:
        """Write snapshot `ref` to one file, which exists whole or not at all, with the model that the store keeps.

        With `sign` its signature is written beside it.

        Raises UnknownNameError, CorruptArtifactError when something that would go into it is damaged.
        """
        snapshot = self._catalog.pairs.find_snapshot(ref)
        if sign:
            require_key(to_sign=True)  # before the work, not after it
        result = BundleExporter(self._resources, snapshot, progress, model=model).run(path)
        signature_path(path).unlink(missing_ok=True)  # that of the file which was there
        if sign:
            sign_file(path, BUNDLE, result.sha256)
        return result

    def import_(
        self, path: Path, name: str | None = None, *, require_signature: bool = False, trust_code: bool = False
    ) -> Snapshot:
        """Bring a bundle into this store; `name`: what to call its pair, by default what it was called.

        Into the pair it was exported from: what is missing or damaged of its files is restored, exactly. Else a new
        pair is made, `ready`, that needs no vector made again for a text that both stores have. The same import again
        goes on where one that died stopped, and changes nothing after one that ended.

        Raises BundleError for a bundle that is damaged, unsafe or not ours, for a name that is taken, and, unless
        `trust_code`, for one whose model brings programs along; then nothing was changed.
        """
        if name is not None and not valid_pair_name(name):
            raise UsageError(f"{name!r} is not a valid name for a pair", hint=NAME_RULE)
        with self._catalog.lock("import"), self._artifacts.workspace(".import") as workspace:
            bundle = unpack(path, workspace / "bundle", require_signature=require_signature)
            if (code := bundle.foreign_code()) and not trust_code:
                raise BundleError(
                    f"the bundle brings code that would be run here: {code}",
                    hint="if you know who wrote it, and have read it: `vecrollback snapshot import FILE --trust-code`",
                )
            name = name or bundle.manifest.pair
            # The pair's lock only now: its writers need not wait while a large file is read and verified.
            with self._catalog.lock(f"pair-{name}"):
                return self._import(bundle, name, workspace)

    def _import(self, bundle: UnpackedBundle, name: str, workspace: Path) -> Snapshot:
        pair = self._catalog.pairs.find(name)
        if pair is None:
            self._catalog.pairs.require_distinct(name)
            return BundleImporter(self._resources, bundle, name, workspace).run()
        if not _same_pair(pair, bundle):
            raise BundleError(
                f"the name {name!r} is taken: the pair here is of embedder {pair.embedder!r} ({pair.fingerprint}) and "
                f"from {pair.created_at}; the bundle's is of {bundle.manifest.embedder!r} "
                f"({bundle.manifest.fingerprint}) and from {bundle.contents.pair['created_at']}",
                hint="choose another --name",
            )
        if bundle.contents.store == self._catalog.store_id and name == bundle.manifest.pair:
            return put_back(self._catalog, self._artifacts, self._resources.vectors_of(pair), pair, bundle)
        return self._imported_before(pair, bundle)

    def _imported_before(self, pair: Pair, bundle: UnpackedBundle) -> Snapshot:
        number = bundle.manifest.number
        snapshot = next((s for s in self._catalog.pairs.snapshots(pair.name) if s.number == number), None)
        if snapshot is None:
            raise BundleError(
                f"pair {pair.name!r} was imported before, from another snapshot than {bundle.manifest.pair}@{number}",
                hint="choose another --name to have both",
            )
        names = (snapshot.manifest, *load_manifest(self._artifacts, snapshot.manifest).artifacts())
        if damaged := [wrong for name in names if (wrong := self._artifacts.verify(name))]:
            raise CorruptArtifactError(
                f"{snapshot.ref} was imported before, but artefact {damaged[0]}; its index was built here, so a bundle "
                "of another store does not hold the same bytes",
                hint="choose another --name: no vector is made again",
            )
        return snapshot


def _same_pair(pair: Pair, bundle: UnpackedBundle) -> bool:
    """Whether a pair is the bundle's: one embedder, and made at the same microsecond, which an import keeps."""
    origin = bundle.contents.pair
    return (pair.fingerprint, pair.created_at) == (origin["fingerprint"], origin["created_at"])
