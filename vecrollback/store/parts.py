"""What a store is made of: every part opened once and connected to those it needs."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Self

from vecrollback.catalog import CORPUS, Catalog, vectors_table
from vecrollback.config import Settings
from vecrollback.corpus.corpus import Corpus
from vecrollback.pairs.bundles import Bundles
from vecrollback.pairs.embedders import PairEmbedders
from vecrollback.pairs.prune import Pruner
from vecrollback.pairs.vectors import Vectors
from vecrollback.quality.audit import Auditor
from vecrollback.quality.check import Checker
from vecrollback.quality.evaluation import Golden, Quality
from vecrollback.records import JobRecord, Pair, SearcherRecord
from vecrollback.reembedding.builder import Builder
from vecrollback.reembedding.jobs import Work
from vecrollback.reembedding.plan import Planner
from vecrollback.reembedding.repair import Repairer
from vecrollback.serving.inspect import Inspection
from vecrollback.serving.open_pairs import BorrowedPairs, OpenPairs
from vecrollback.serving.searcher import Searcher
from vecrollback.storage import LocalFileStore, S3FileStore, file_store_at
from vecrollback.storage.artifacts import Artifacts, Cache, LocalArtifacts, S3Artifacts
from vecrollback.store.tokens import Tokens
from vecrollback.switching.approvals import Authority
from vecrollback.switching.canary import Canaries
from vecrollback.switching.gates import Gates
from vecrollback.switching.gates.way_back import WayBack
from vecrollback.switching.incidents.incidents import Incidents
from vecrollback.switching.incidents.post_check import post_check
from vecrollback.switching.notifications import Notifications
from vecrollback.switching.policy import load_policy
from vecrollback.switching.rehearsal import Rehearsal
from vecrollback.switching.switch import Switch


class Assembly:
    """The parts of one open store, for the store alone."""

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        self.actor, self._catalog_url = settings.actor, settings.catalog
        self._file_store = file_store_at(settings.store)
        self._catalog = Catalog(self._file_store, settings.catalog, create=create)
        self.root = root = self._own_folder(settings)
        if create:
            (root / "tables").mkdir(parents=True, exist_ok=True)
        self._cache = root / "cache"
        self._cached = {"VECROLLBACK_CACHE": settings.cache, "VECROLLBACK_CACHE_SIZE": settings.cache_size}
        self._artifacts = self._opened_artifacts(settings)
        self._corpus = Corpus(self._file_store.inside(f"tables/{CORPUS}.lance"), self._catalog)
        if create:
            with self._catalog.lock("create"):
                self._corpus.create()
        self._embedders = PairEmbedders(self._catalog, self._artifacts)
        self._builder = Builder(self._catalog, self._corpus, self._artifacts, self._embedders, self._vectors)
        self.plan = Planner(root, self._catalog, self._corpus, self._embedders, self._vectors)
        self._checker = Checker(self._catalog, self._corpus, self._artifacts, self._vectors, self._embedders.of)
        self._auditor = Auditor(self._catalog, self._corpus, self._embedders, self._vectors, self._checker)
        self._repairer = Repairer(self._catalog, self._corpus, self._builder)
        self._bundles = Bundles(self._catalog, self._corpus, self._artifacts, self._vectors)
        self._switch = Switch(self._catalog, self._artifacts)
        self.retention = Pruner(self._file_store, self._catalog, self._artifacts)
        self.access = Tokens(self._catalog)
        self.work = Work(self._catalog)
        self.inspection = Inspection(self._catalog, self._vectors, BorrowedPairs(self._catalog, self._holder))
        self._borrowed_pairs: list[BorrowedPairs] = []
        self.measurements = self._catalog.watching
        self.notices = Notifications(self._catalog, lambda: load_policy(root))
        self.authority = Authority(self._catalog, self.access.record)
        self.rehearsal = Rehearsal(self._catalog, self._switch)
        asking = partial(post_check, self._catalog, self._embedders, self.borrow_pairs())
        self.incidents = Incidents(self._catalog, self.notices, asking)
        self.golden = Golden(self._catalog, self.actor)
        self.quality = Quality(self._catalog, self._corpus, self.borrow_pairs())
        way_back = WayBack(self._catalog, self._artifacts, self._embedders, self._switch, self._vectors)
        self.gates = Gates(root, self._catalog, self.quality, way_back)
        self.canaries = Canaries(root, self._catalog, self._switch, self.actor)
        self._searcher: Searcher | None = None
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        """How another process opens this store, but for its secrets: an absolute path, or s3://..."""
        return self._file_store.address.shown if isinstance(self._file_store, S3FileStore) else str(self.root.resolve())

    def lock(self, name: str, *, timeout: float = -1) -> AbstractContextManager[None]:
        """Hold a named lock of the store across processes. Raises LockHeldError after `timeout` seconds."""
        return self._catalog.lock(name, timeout=timeout)

    def searchers(self, alias: str) -> list[SearcherRecord]:
        """Processes that follow an alias and give signs of life."""
        return self._catalog.searchers.alive(alias)

    def copy_to(self, root: Path) -> None:
        """Lay out a store of its own in a new directory with everything that is here, files linked where they can be.

        For trying things: linked files are shared, so they may be removed there, never written to.
        """
        self._catalog.copy_to(root)
        self._artifacts.copy_to(root / "artifacts")
        self._file_store.inside("tables").copy_to(root / "tables")

    def environment(self) -> dict[str, str]:
        """Environment in which a process of its own opens this store by `connect()`. It may hold a password."""
        here = {"VECROLLBACK_STORE": self.uri, "VECROLLBACK_ACTOR": self.actor, **self._cached}
        return here | {"VECROLLBACK_CATALOG": self._catalog_url or ""}

    def jobs(self, *, unfinished: bool = False) -> list[JobRecord]:
        """Jobs, newest first."""
        return self._catalog.jobs.all(unfinished=unfinished)

    def borrow_pairs(self) -> BorrowedPairs:
        """Room for pairs held open apart from what serves; closed with the store."""
        self._borrowed_pairs.append(BorrowedPairs(self._catalog, self._holder))
        return self._borrowed_pairs[-1]

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        if self._searcher is not None:
            self._searcher.close()
            self._searcher = None
        self.inspection.close()
        for borrowed in self._borrowed_pairs:
            borrowed.close()
        self.notices.close()
        self._embedders.close()
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _holder(self) -> OpenPairs:
        shared = self._catalog, self._corpus, self._artifacts, self._embedders
        return OpenPairs(*shared, vectors_of=self._vectors, cache=self._cache)

    def _vectors(self, pair: Pair) -> Vectors:
        return Vectors(self._file_store.inside(f"tables/{vectors_table(pair.name)}.lance"), pair.dimension)

    def _own_folder(self, settings: Settings) -> Path:
        """The store's directory; of a store that lies elsewhere, this machine's folder for what it derives from it."""
        if isinstance(self._file_store, LocalFileStore):
            return self._file_store.root
        folder = Path(settings.cache) / "stores" / self._catalog.store_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _opened_artifacts(self, settings: Settings) -> Artifacts:
        if not isinstance(self._file_store, S3FileStore):
            return LocalArtifacts(self.root / "artifacts")
        cache = Cache(Path(settings.cache) / "artifacts", settings.cache_bytes)
        return S3Artifacts(self._file_store.inside("artifacts"), cache, self.root)
