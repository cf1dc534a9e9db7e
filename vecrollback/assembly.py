"""What a store is made of: every part opened once and connected to those it needs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

from vecrollback.access import Access
from vecrollback.artifacts import Artifacts
from vecrollback.bundles import Bundles
from vecrollback.catalog import CORPUS, Catalog, vectors_table
from vecrollback.check import Checker
from vecrollback.corpus import Corpus
from vecrollback.holding import Holder
from vecrollback.inspection import Inspection
from vecrollback.jobs import Work
from vecrollback.models import Models
from vecrollback.records import Pair
from vecrollback.reembed import Builder
from vecrollback.repair import Repairer
from vecrollback.serving import Searcher
from vecrollback.switch import Switch
from vecrollback.vectors import Vectors


class Assembly:
    """The parts of one open store, for the store alone."""

    def __init__(self, root: Path, *, catalog: str | None = None, actor: str, create: bool = False) -> None:
        self.root = root
        self.actor = actor
        self._cache = root / "cache"
        self._catalog = Catalog(root, catalog, create=create)
        if create:
            (root / "tables").mkdir(parents=True, exist_ok=True)
        self._artifacts = Artifacts(root / "artifacts")
        self._corpus = Corpus(root / "tables" / f"{CORPUS}.lance", self._catalog)
        if create:
            with self._catalog.lock("create"):
                self._corpus.create()
        self._models = Models(self._catalog, self._artifacts)
        self._builder = Builder(self._catalog, self._corpus, self._artifacts, self._models, self._vectors)
        self._checker = Checker(self._catalog, self._corpus, self._artifacts, self._vectors, self._models.of)
        self._repairer = Repairer(self._catalog, self._corpus, self._builder)
        self._bundles = Bundles(self._catalog, self._corpus, self._artifacts, self._vectors)
        self._switch = Switch(self._catalog, self._artifacts)
        self.access = Access(self._catalog)
        self.work = Work(self._catalog)
        self.inspection = Inspection(self._catalog, self._vectors, self._holder)
        self._searcher: Searcher | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        if self._searcher is not None:
            self._searcher.close()
            self._searcher = None
        self.inspection.close()
        self._models.close()
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _holder(self) -> Holder:
        shared = self._catalog, self._corpus, self._artifacts, self._models
        return Holder(*shared, vectors_of=self._vectors, cache=self._cache)

    def _vectors(self, pair: Pair) -> Vectors:
        return Vectors(self.root / "tables" / f"{vectors_table(pair.name)}.lance", pair.dimension)
