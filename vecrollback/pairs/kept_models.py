"""Models kept with their pairs: the files that made the vectors, as artefacts of the store.

A pair must be able to answer for as long as it may be rolled back to. The place that its embedder string names is not
the store's: a training run saves over the directory, a cache is emptied, a hub withdraws a model. So the files are kept
by digest beside the pair's index, and nothing that happens to the original changes the pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vecrollback.catalog import Catalog, now
from vecrollback.embedders import Embedder, moved, open_embedder
from vecrollback.errors import EmbedderChangedError
from vecrollback.records import KeptModel, Pair
from vecrollback.storage.artifacts import Artifacts
from vecrollback.storage.cloning import clone_files

SUFFIX = ".model"


class KeptModels:
    """Keeps models, and finds them again. `limit`: bytes above which a model is kept only where that is asked for."""

    def __init__(self, catalog: Catalog, artifacts: Artifacts, limit: int) -> None:
        self._catalog, self._artifacts, self.limit = catalog, artifacts, limit

    def size(self, embedder: Embedder) -> int:
        """Bytes that keeping this model takes; 0 for one whose files cannot be seen."""
        return sum(path.stat().st_size for path in files_of(embedder).values())

    def wanted(self, embedder: Embedder, keep: bool | None) -> bool:
        """Whether a model is to be kept. `keep` None: if it has files, and they are not over the limit."""
        if keep is None:
            return 0 < self.size(embedder) <= self.limit
        return keep and bool(files_of(embedder))

    def put(self, name: str, embedder: Embedder) -> KeptModel:
        """Put the files of a model into the store, for the pair `name`, whose row is to be written next.

        What is there already is not written again. Raises EmbedderChangedError when the files are no longer those that
        the embedder was opened with.
        """
        files, immutable = files_of(embedder), bool(getattr(embedder, "immutable_files", False))
        artifact = self._artifacts.put(SUFFIX, lambda path: clone_files(files, path, immutable=immutable))
        copy = open_embedder(moved(embedder.spec, self._artifacts.require(artifact).resolve()))
        if copy.fingerprint != embedder.fingerprint:
            raise EmbedderChangedError(
                f"the files of {embedder.spec!r} changed while they were taken into the store",
                hint="wait until nothing writes there, and run the same command again",
            )
        return KeptModel(name, artifact, sum(path.stat().st_size for path in files.values()), now())

    def keep(self, pair: Pair, embedder: Embedder) -> KeptModel:
        """Keep the model of a pair that exists; `embedder` is its own. Raises as `put` does."""
        kept = self.put(pair.name, embedder)
        self._catalog.models.keep(kept, lambda: self._artifacts.expect(kept.artifact))
        return kept

    def find(self, pair: Pair) -> KeptModel | None:
        """The kept model of a pair."""
        return self._catalog.models.kept(pair.name)

    def near(self, kept: KeptModel) -> bool:
        """Whether its files can be read on this machine without being fetched."""
        return self._artifacts.near(kept.artifact)

    def place(self, pair: Pair, kept: KeptModel) -> tuple[str, object]:
        """The string that opens the kept model as the pair's embedder, and what to hold while it is used.

        Raises CorruptArtifactError when the artefact is gone.
        """
        lease = self._artifacts.keep([kept.artifact])
        return moved(pair.embedder, self._artifacts.require(kept.artifact).resolve()), lease


def files_of(embedder: Embedder) -> Mapping[str, Path]:
    """The files that an embedder is made of, by relative name; none where it does not tell."""
    tell = getattr(embedder, "model_files", None)
    return tell() if tell else {}
