"""What the parts of one open store work with, as one value that they hand on to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vecrollback.catalog import Catalog, vectors_table
from vecrollback.corpus.corpus import Corpus
from vecrollback.pairs.embedders import PairEmbedders
from vecrollback.pairs.vectors import Vectors
from vecrollback.records import Pair
from vecrollback.storage import FileStore
from vecrollback.storage.artifacts import Artifacts


@dataclass(frozen=True, slots=True)
class Resources:
    """The catalog, the log, the files and the models of one store.

    `root`: the store's own directory; of a store on object storage, this machine's folder for what it derives from it.
    `environment`: in which a process of its own opens this store with `connect()`. It may hold a password, so it is
    left out of the representation.
    """

    root: Path
    file_store: FileStore
    catalog: Catalog
    corpus: Corpus
    artifacts: Artifacts
    embedders: PairEmbedders
    environment: Mapping[str, str] = field(repr=False)

    @property
    def cache(self) -> Path:
        """Where this machine keeps what can be derived again. May be missing, may be deleted."""
        return self.root / "cache"

    def forget_texts(self) -> None:
        """Remove what this machine keeps of texts to answer faster. It is derived again when it is needed."""
        for pattern in ("documents-*.arrow", "keywords-*"):
            for cached in self.cache.glob(pattern):
                cached.unlink(missing_ok=True)

    def vectors_of(self, pair: Pair) -> Vectors:
        """The table that holds the vectors of a pair, in the store's own files or in a database."""
        if pair.backend:
            from vecrollback.pairs.backend import open_backend
            from vecrollback.pairs.backend_vectors import BackendVectors

            owner = f"{self.catalog.store_id}/{pair.name}"
            return BackendVectors(open_backend(pair.backend), pair.dimension, pair.metric, owner)
        owner = vectors_table(pair.name)
        place = self.file_store.inside(f"tables/{owner}.lance")
        return Vectors(place, pair.dimension, lambda names: self.catalog.files.of(owner, names))

    def copy_to(self, folder: Path) -> None:
        """Lay out a store of its own in a new folder with everything that is here, files linked where they can be.

        For trying things: linked files are shared, so they may be removed there, never written to.
        """
        self.catalog.copy_to(folder)
        self.artifacts.copy_to(folder / "artifacts")
        self.file_store.inside("tables").copy_to(folder / "tables")
