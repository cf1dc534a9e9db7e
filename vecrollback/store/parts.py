"""What a store is made of. Each part is opened when it is first used, and connected to those it needs.

A rollback must work while a model's packages are broken, and `status` must be quick: so nothing here imports a room
before somebody asks for what is in it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from vecrollback.catalog import CORPUS, EARLIER, Catalog
from vecrollback.catalog.databases.store_identity import read_identity
from vecrollback.errors import VecrollbackError
from vecrollback.records import LIVE
from vecrollback.storage import FileStore, LocalFileStore, file_store_at
from vecrollback.storage.forks import FollowsForks, follow_forks, hold_off_forks
from vecrollback.storage.local import give_tree_to_owner
from vecrollback.storage.trust import trust_created

if TYPE_CHECKING:
    from vecrollback.pairs.backup import Backups
    from vecrollback.pairs.bridges import Bridges
    from vecrollback.pairs.bundles import Bundles
    from vecrollback.pairs.kept_models import KeptModels
    from vecrollback.pairs.native_clients import NativeClients
    from vecrollback.pairs.prune import Pruner
    from vecrollback.pairs.resources import Resources
    from vecrollback.pairs.time_travel import TimeTravel
    from vecrollback.pairs.vectors import ChunkVectors
    from vecrollback.quality.audit import Auditor
    from vecrollback.quality.bridge_proof import BridgeProof
    from vecrollback.quality.cascade_trial import CascadeTrials
    from vecrollback.quality.check import Checker
    from vecrollback.quality.evaluation import Golden, Quality
    from vecrollback.quality.forecast import Forecaster
    from vecrollback.quality.thresholds import Thresholds
    from vecrollback.records import CatchUp, Pair, PostCheck, ProgressCallback
    from vecrollback.reembedding.builder import Builder
    from vecrollback.reembedding.plan import Planner
    from vecrollback.serving.inspect import Inspection
    from vecrollback.serving.searcher import Searcher
    from vecrollback.storage.artifacts import Artifacts
    from vecrollback.storage.config import Settings
    from vecrollback.store.helper import Helper
    from vecrollback.store.tokens import Tokens
    from vecrollback.switching.approvals import Approvals
    from vecrollback.switching.canary import Canaries
    from vecrollback.switching.freezes import Freezes
    from vecrollback.switching.gates import Gates
    from vecrollback.switching.incidents.incidents import Incidents
    from vecrollback.switching.notifications import Notifications
    from vecrollback.switching.switch import Switch

T = TypeVar("T")
_CLOSED_FIRST = (
    "helper",
    "searcher",
    "inspection",
    "quality",
    "bridge_proof",
    "thresholds",
    "cascade_trials",
    "forecaster",
    "notices",
)


class opened_once(cached_property[T]):
    """A part that is opened by whichever thread asks for it first. A `cached_property` locks nothing from 3.12 on."""

    @overload
    def __get__(self, parts: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, parts: Any, owner: type[Any] | None = None) -> T: ...
    def __get__(self, parts: Any, owner: type[Any] | None = None) -> Self | T:
        if parts is None:
            return self
        with hold_off_forks(), parts.lock:
            part: T = super().__get__(parts, owner)
            return part


@dataclass(frozen=True)
class Parts(FollowsForks):
    """The parts of one open store; see `open_parts`. For the store alone: what it hands on has names of its own."""

    settings: Settings
    root: Path
    file_store: FileStore
    catalog: Catalog
    follow: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        follow_forks(self)

    def forked(self) -> None:
        object.__setattr__(self, "lock", threading.RLock())

    @property
    def uri(self) -> str:
        """How another process opens this store, but for its secrets: an absolute path, or s3://..."""
        if isinstance(self.file_store, LocalFileStore):
            return str(self.root.resolve())
        from vecrollback.storage.s3 import S3FileStore

        assert isinstance(self.file_store, S3FileStore)
        return self.file_store.address.shown

    # -- resources ----------------------------------------------------------------------------------------------------

    @opened_once
    def artifacts(self) -> Artifacts:
        memory = self.root / "cache" / "sound-artifacts"
        if isinstance(self.file_store, LocalFileStore):
            from vecrollback.storage.artifacts import LocalArtifacts

            return LocalArtifacts(self.root / "artifacts", memory)
        from vecrollback.storage.artifacts.cache import Cache
        from vecrollback.storage.artifacts.s3 import S3Artifacts
        from vecrollback.storage.s3 import S3FileStore

        assert isinstance(self.file_store, S3FileStore)
        cache = Cache(Path(self.settings.cache) / "artifacts", self.settings.cache_bytes)
        return S3Artifacts(self.file_store.inside("artifacts"), cache, self.root, memory)

    @opened_once
    def resources(self) -> Resources:
        from vecrollback.corpus.corpus import Corpus
        from vecrollback.corpus.erasures import ErasureFile
        from vecrollback.pairs.embedders import PairEmbedders
        from vecrollback.pairs.resources import Resources

        return Resources(
            root=self.root,
            file_store=self.file_store,
            catalog=self.catalog,
            corpus=Corpus(
                self.file_store.inside(f"tables/{CORPUS}.lance"),
                self.file_store.inside(f"tables/{EARLIER}.lance"),
                self.catalog,
                erasures=ErasureFile(self.settings.erasures) if self.settings.erasures else None,
                memory=self.root / "cache" / "sound-documents.json",
            ),
            artifacts=self.artifacts,
            embedders=PairEmbedders(self.catalog, self.artifacts, self.kept_models, self.root),
            environment=self._environment(),
        )

    @opened_once
    def kept_models(self) -> KeptModels:
        from vecrollback.pairs.kept_models import KeptModels

        return KeptModels(self.catalog, self.artifacts, self.settings.keep_model_bytes)

    def _environment(self) -> dict[str, str]:
        return {
            "VECROLLBACK_STORE": self.uri,
            "VECROLLBACK_ACTOR": self.settings.actor,
            "VECROLLBACK_CACHE": self.settings.cache,
            "VECROLLBACK_CACHE_SIZE": self.settings.cache_size,
            "VECROLLBACK_KEEP_MODEL_LIMIT": self.settings.keep_model_limit,
            "VECROLLBACK_ERASURES": self.settings.erasures,
            "VECROLLBACK_CATALOG": self.settings.catalog or "",
        }

    @opened_once
    def helper(self) -> Helper:
        from vecrollback.store.helper import Helper

        return Helper(self.resources.environment)

    # -- reading ------------------------------------------------------------------------------------------------------

    @opened_once
    def searcher(self) -> Searcher:
        """The searcher of `Store.search`: it follows `live` in the background where the store was opened for that."""
        from vecrollback.serving.searcher import Searcher

        return Searcher(self.resources, follow=self.follow, keep=self.keep_vectors)

    @opened_once
    def inspection(self) -> Inspection:
        from vecrollback.serving.inspect import Inspection

        return Inspection(self.resources)

    @opened_once
    def checker(self) -> Checker:
        from vecrollback.quality.check import Checker

        return Checker(self.resources)

    @opened_once
    def auditor(self) -> Auditor:
        from vecrollback.quality.audit import Auditor

        return Auditor(self.resources)

    @opened_once
    def quality(self) -> Quality:
        from vecrollback.store.long_work import QualityAside

        return QualityAside(self)

    @opened_once
    def bridge_proof(self) -> BridgeProof:
        from vecrollback.quality.bridge_proof import BridgeProof

        return BridgeProof(self.resources)

    @opened_once
    def thresholds(self) -> Thresholds:
        from vecrollback.quality.thresholds import Thresholds

        return Thresholds(self.resources, self.bridges)

    @opened_once
    def cascade_trials(self) -> CascadeTrials:
        from vecrollback.quality.cascade_trial import CascadeTrials

        return CascadeTrials(self.resources, self.keep_vectors)

    def keep_vectors(
        self, pair: str, made: Mapping[str, tuple[bytes, ChunkVectors]], queries: int, patience: float
    ) -> None:
        """Write what was embedded for queries into the pair's own vectors, and count it."""
        covered = self.builder.keep(pair, made, patience=patience) if made else None
        self.catalog.cascades.count(pair, queries=queries, embedded=len(made), covered=covered)

    @opened_once
    def forecaster(self) -> Forecaster:
        from vecrollback.quality.forecast import Forecaster

        return Forecaster(self.resources)

    @opened_once
    def golden(self) -> Golden:
        from vecrollback.quality.evaluation import Golden

        return Golden(self.catalog, self.settings.actor)

    # -- writing ------------------------------------------------------------------------------------------------------

    @opened_once
    def builder(self) -> Builder:
        from vecrollback.reembedding.builder import Builder

        return Builder(self.resources)

    @opened_once
    def planner(self) -> Planner:
        from vecrollback.reembedding.plan import Planner

        return Planner(self.resources)

    @opened_once
    def bridges(self) -> Bridges:
        from vecrollback.pairs.bridges import Bridges

        return Bridges(self.resources)

    @opened_once
    def bundles(self) -> Bundles:
        from vecrollback.pairs.bundles import Bundles

        return Bundles(self.resources)

    @opened_once
    def time_travel(self) -> TimeTravel:
        from vecrollback.pairs.time_travel import TimeTravel

        def catch_up(pair: Pair, progress: ProgressCallback | None) -> CatchUp:
            from vecrollback.reembedding.jobs import Job

            job = self.catalog.jobs.start("catch-up", pair.name)
            return Job(self.catalog, job, lambda: self.builder.catch_up(pair, job.id, progress)).wait()

        return TimeTravel(self.resources, self.settings.actor, catch_up)

    @opened_once
    def backups(self) -> Backups:
        from vecrollback.pairs.backup import Backups

        return Backups(self.resources)

    @opened_once
    def retention(self) -> Pruner:
        from vecrollback.pairs.prune import Pruner

        return Pruner(self.resources)

    # -- switching ----------------------------------------------------------------------------------------------------

    @opened_once
    def switch(self) -> Switch:
        from vecrollback.switching.switch import Switch

        switch = Switch(self.catalog, self.artifacts, lambda: _bridges_serve(self.root))
        switch.native_alias = self._follow_in_databases
        return switch

    def _follow_in_databases(self) -> None:
        self.native_clients.follow()

    @opened_once
    def native_clients(self) -> NativeClients:
        from vecrollback.pairs.native_clients import NativeClients

        return NativeClients(self.catalog)

    def _finish_native_alias(self) -> None:
        """Move the name that a database has for `live` where a process died between the pointer and the name."""
        if not self.catalog.may_write or ("native_clients" in self.__dict__ and self.native_clients.failed):
            return
        with suppress(VecrollbackError):
            native = self.catalog.aliases.native(LIVE)
            if native is not None and native.behind:
                self.native_clients.follow()

    @contextmanager
    def deletes_hidden(self) -> Iterator[None]:
        """Hide what is deleted in here from programs that search the database of a pair by themselves."""
        if not self._has_databases():
            yield
            return
        before = self.catalog.ledger.state().head
        try:
            yield
        finally:  # an ingest that fails later has acknowledged deletes before
            self.native_clients.hide(self.catalog.ledger.tombstones(before))

    def _has_databases(self) -> bool:
        # a store without such a pair loads nothing for it
        return any(pair.backend for pair in self.catalog.pairs.all())

    @opened_once
    def gates(self) -> Gates:
        from vecrollback.store.long_work import GatesAside

        return GatesAside(self)

    @opened_once
    def canaries(self) -> Canaries:
        from vecrollback.switching.canary import Canaries

        return Canaries(self.root, self.catalog, self.switch, self.settings.actor)

    @opened_once
    def freezes(self) -> Freezes:
        from vecrollback.switching.freezes import Freezes

        return Freezes(self.catalog)

    @opened_once
    def approvals(self) -> Approvals:
        from vecrollback.switching.approvals import Approvals

        return Approvals(self.catalog)

    @opened_once
    def notices(self) -> Notifications:
        from vecrollback.switching.notifications import Notifications
        from vecrollback.switching.policy import load_policy

        return Notifications(self.catalog, lambda: load_policy(self.root))

    @opened_once
    def incidents(self) -> Incidents:
        from vecrollback.switching.incidents.incidents import Incidents

        return Incidents(self.catalog, self.notices, self.ask_probe_queries)

    def ask_probe_queries(self, pair: str) -> PostCheck:
        """Whether a pair answers its probe queries as it did when its snapshot was taken, and golden ones how well."""
        from vecrollback.store.long_work import ask_probe_queries

        return ask_probe_queries(self, pair)

    @opened_once
    def access(self) -> Tokens:
        from vecrollback.store.tokens import Tokens

        return Tokens(self.catalog)

    def close(self) -> None:
        """Let go of what was opened. Idempotent."""
        self._finish_native_alias()
        # What was never used was never opened: `opened_once` keeps each part in the instance's dictionary.
        parts = self.__dict__
        for name in _CLOSED_FIRST:
            if name in parts:
                parts.pop(name).close()
        if "resources" in parts:
            self.resources.embedders.close()
        self.catalog.close()
        if isinstance(self.file_store, LocalFileStore):
            give_tree_to_owner(self.file_store.root)


def open_parts(settings: Settings, *, create: bool = False, follow: bool = False) -> Parts:
    """Open a store's catalog, and find its files. `create`: lay the store out where there is none.

    Raises StoreNotFoundError, StoreFormatError, CatalogMismatchError.
    """
    file_store = file_store_at(settings.store)
    if create and isinstance(file_store, LocalFileStore):
        # Texts and digests of tokens are for its owner and the owner's group. A folder that is there stays as it is.
        file_store.root.mkdir(parents=True, exist_ok=True, mode=0o750)
    # On object storage a catalog elsewhere is needed; that is said before the storage is asked.
    new = create and (isinstance(file_store, LocalFileStore) or settings.catalog is not None) and _is_empty(file_store)
    catalog = Catalog(file_store, settings.catalog, create=create)
    parts = Parts(settings, _own_folder(file_store, catalog, settings), file_store, catalog, follow)
    if create:
        (parts.root / "tables").mkdir(parents=True, exist_ok=True)
        # Two processes may create the same store at the same moment; the second must find the corpus of the first.
        with catalog.lock("create"):
            parts.resources.corpus.create()
    if new:
        trust_created(parts.root)
    return parts


def _is_empty(file_store: FileStore) -> bool:
    """Whether nothing says that there is a store already; one of the first versions has only its catalog."""
    catalog = isinstance(file_store, LocalFileStore) and (file_store.root / "catalog.db").exists()
    return not catalog and read_identity(file_store) is None


def _own_folder(file_store: FileStore, catalog: Catalog, settings: Settings) -> Path:
    """The store's directory; of a store that lies elsewhere, this machine's folder for what it derives from it."""
    if isinstance(file_store, LocalFileStore):
        return file_store.root
    folder = Path(settings.cache) / "stores" / catalog.store_id
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _bridges_serve(root: Path) -> bool:
    from vecrollback.serving.fallback_settings import serves

    return serves(root, "bridge")
