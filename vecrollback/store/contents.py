"""What a store holds: its documents, its pairs and their snapshots. Nothing here moves a pointer or embeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vecrollback.corpus.documents import validate_batch, validate_id
from vecrollback.corpus.ingest import Ingestion
from vecrollback.errors import UnknownNameError, UsageError
from vecrollback.pairs.manifest import Manifest, load_manifest
from vecrollback.records import LIVE, Document, ExportResult, Ingested, Pair, ProgressCallback, Snapshot, SnapshotRef
from vecrollback.store.parts import Assembly

PairLike = Pair | str


class Contents(Assembly):
    """The part of the store that reads and writes what it holds."""

    # -- documents ----------------------------------------------------------------------------------------------------

    def upsert(self, documents: Iterable[Document]) -> int:
        """Write new and changed documents; returns the seq of the head. Durable when it returns.

        A document equal to the stored one makes no change. Raises BadDocumentError, also for an id given twice; then
        nothing of this call was written.
        """
        return self._corpus.upsert(validate_batch(documents))[0]

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents for good; returns the seq of the head. No query returns them from now on."""
        if isinstance(ids, str):
            raise UsageError("delete takes a list of ids, not one string", hint=f"store.delete([{ids!r}])")
        return self._corpus.delete([validate_id(id_) for id_ in ids])[0]

    def ingest(
        self,
        path: str | Path,
        *,
        id_field: str | None = None,
        text_field: str | None = None,
        changes: bool = False,
        skip_bad: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Ingested:
        """Write the documents of a file or folder in batches; each is durable before the next is read.

        Formats: see `vecrollback.corpus.formats`. A line that is no document raises BadDocumentError with its number,
        after everything before it was written; with `skip_bad` it is counted and reported instead. Running it again
        changes only what differs.
        """
        ingestion = Ingestion(self._corpus, skip_bad=skip_bad, progress=progress)
        return ingestion.run(Path(path), id_field=id_field, text_field=text_field, changes=changes)

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """Live documents by id."""
        return self._corpus.at_head(lambda state: self._corpus.get(list(ids), version=state.version))

    def compact(self, *, purge: bool = False) -> None:
        """Merge small files of the corpus; with `purge` no byte of a deleted text stays in the store."""
        self._corpus.compact(purge=purge)
        if purge:
            for cached in self._cache.glob("documents-*.arrow"):
                cached.unlink(missing_ok=True)

    # -- pairs ---------------------------------------------------------------------------------------------------------

    def pairs(self) -> list[Pair]:
        """Every pair, oldest first."""
        return self._catalog.pairs.all()

    def pair(self, pair: PairLike) -> Pair:
        """A pair as it is now. Raises UnknownNameError."""
        return self._catalog.pairs.get(pair if isinstance(pair, str) else pair.name)

    def live(self) -> Pair:
        """The pair that serves. Raises UnknownNameError while none does."""
        alias = self._catalog.aliases.get(LIVE)
        if alias is None:
            raise UnknownNameError("no pair is live yet", hint="`vecrollback promote PAIR`")
        return self.pair(alias.pair)

    def lag(self, pair: PairLike) -> int:
        """Changes between a pair's watermark and the head."""
        return self._corpus.state().head - self.pair(pair).watermark

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def snapshot(self, pair: PairLike | None = None, *, rebuild: bool = False) -> Snapshot:
        """Take a snapshot of a pair (default: the live one); costs what changed since the last, unless `rebuild`."""
        return self._builder.snapshot((self.live() if pair is None else self.pair(pair)).name, rebuild=rebuild)

    def snapshots(self, pair: PairLike | None = None) -> list[Snapshot]:
        """Snapshots of one pair or of all."""
        return self._catalog.pairs.snapshots(None if pair is None else self.pair(pair).name)

    def manifest(self, ref: str) -> tuple[Snapshot, Manifest]:
        """The snapshot `PAIR@N`, `PAIR` or a tag, and its manifest, verified."""
        snapshot = self._catalog.pairs.find_snapshot(ref)
        return snapshot, load_manifest(self._artifacts, snapshot.manifest)

    def export_snapshot(self, ref: str, path: str | Path, *, progress: ProgressCallback | None = None) -> ExportResult:
        """Write a snapshot, its vectors and their texts to one file: a backup that any store can import."""
        return self._bundles.export(ref, Path(path), progress)

    def import_snapshot(self, path: str | Path, *, name: str | None = None) -> Snapshot:
        """Bring in a bundle, as its own pair or, from another store, as a new one; see `Bundles.import_`.

        No deleted document returns by it. Raises BundleError; then nothing was changed.
        """
        return self._bundles.import_(Path(path), name)

    def tag(self, name: str, ref: str) -> None:
        """Name a snapshot; a tagged one is kept."""
        self._catalog.pairs.set_tag(name, self._catalog.pairs.find_snapshot(ref))

    def tags(self) -> dict[str, str]:
        """Tag -> snapshot."""
        return {name: str(SnapshotRef(*held)) for name, held in self._catalog.pairs.tags().items()}

    def untag(self, name: str) -> None:
        self._catalog.pairs.delete_tag(name)

    def delete_snapshot(self, ref: str) -> None:
        """Forget a snapshot. Raises PairStateError while an alias, a tag or its pair holds it."""
        self._catalog.pairs.delete_snapshot(self._catalog.pairs.find_snapshot(ref))
