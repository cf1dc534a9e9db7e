"""Prune: plan, then delete, what no alias, tag, searcher or cool-down keeps.

The catalog forgets first, files go after: a prune that dies in between leaves files that nothing names, for the next
one. A file is set aside while nobody else can change the catalog, and whoever names files in the catalog looks for them
in that same transaction: a writer that found equal bytes in place, and lost them, fails there and writes them anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from vecrollback.catalog import as_kept, vectors_table
from vecrollback.errors import (
    CorruptArtifactError,
    LockHeldError,
    PairStateError,
    StorageUnavailableError,
    UnknownNameError,
    UsageError,
)
from vecrollback.pairs.backend import open_backend
from vecrollback.pairs.compaction import Compactor
from vecrollback.pairs.manifest import load_manifest
from vecrollback.pairs.rehearsals import forget_rehearsals
from vecrollback.pairs.removable_files import (
    ASIDE,
    UNFINISHED_SECONDS,
    LocalRemovableFiles,
    PruneLocks,
    RemovableFiles,
    S3RemovableFiles,
)
from vecrollback.pairs.resources import Resources
from vecrollback.records import Pair, PrunableFile, PrunePlan, PruneResult, RetentionRules, Snapshot, SnapshotRef
from vecrollback.storage.local import reach
from vecrollback.storage.s3 import S3FileStore

_DEFAULT = RetentionRules()
_TABLE = ".lance"


class Pruner:
    """Decides what may go, and lets it go."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._catalog, self._artifacts, file_store = resources.catalog, resources.artifacts, resources.file_store
        self._compactor, self._forget_texts = Compactor(resources), resources.forget_texts
        self._files: RemovableFiles = (
            S3RemovableFiles(file_store)
            if isinstance(file_store, S3FileStore)
            else LocalRemovableFiles(Path(file_store.uri))
        )

    def retire(self, pair: Pair, reason: str = "", *, actor: str = "") -> None:
        """Take a pair out of use: it cannot serve again, and a later prune takes it.

        Raises PairStateError while it serves, is the standby, or is tried by a canary.
        """
        forget_rehearsals(self._resources)
        self._catalog.pairs.retire(pair.name, reason, actor=actor)

    def tidy(self) -> None:
        """Merge small files where so many have gathered that it pays, and clean old versions away.

        Records of finished work go, too, where newer ones are many, and sampled queries that nobody has use for. What a
        worker does now and then, beside everything that runs. A table that is being written is left to its writer.

        Example:
            >>> store.retention.tidy()
        """
        forget_rehearsals(self._resources)
        self._compactor.run()
        self._catalog.retention.forget(_DEFAULT)
        self._catalog.traffic.forget_old()

    def compact(self, *, purge: bool = False) -> None:
        """Merge all small files and clean old versions away; see `Store.compact`."""
        forget_rehearsals(self._resources)
        self._compactor.run(whole=True, purge=purge)
        if purge:
            self._forget_texts()

    # -- plan ---------------------------------------------------------------------------------------------------------

    def plan(self, keep: RetentionRules = _DEFAULT) -> PrunePlan:
        """What would go now. Changes nothing."""
        snapshots = self._catalog.pairs.snapshots()
        reasons = self._reasons_to_keep(snapshots, keep)
        names = {pair.name for pair in self._catalog.pairs.all() if pair.state == "retired"}
        pairs = names - {s.pair for s in snapshots if s.ref in reasons}
        expendable = [s for s in snapshots if s.ref not in reasons]
        trouble = ""
        try:
            files = tuple(self._unnamed([s for s in snapshots if s.ref in reasons], pairs, keep))
        except CorruptArtifactError as error:
            # Any file may belong to a snapshot whose manifest cannot be read: what is unknown is not unused.
            files, trouble = (), f"no file goes: what a snapshot consists of cannot be read. {error}"
        return PrunePlan(
            keep,
            tuple(sorted(pairs)),
            tuple(s.ref for s in expendable),
            files,
            reasons,
            trouble,
            records=self._catalog.retention.count(keep),
            tables=self._compactor.plan(),
        )

    def _reasons_to_keep(self, snapshots: list[Snapshot], keep: RetentionRules) -> dict[str, str]:
        """Snapshots that stay, each with the first reason found."""
        reasons = self._in_use()
        retired = {pair.name for pair in self._catalog.pairs.all() if pair.state == "retired"}
        since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=keep.cool_down)
        newest: dict[str, int] = {}
        for snapshot in reversed(snapshots):
            newest[snapshot.pair] = newest.get(snapshot.pair, 0) + 1
            if dt.datetime.fromisoformat(snapshot.created_at) > since:
                reasons.setdefault(snapshot.ref, "made within the cool-down")
            # At least one: if the newest were deleted, its number would be given to another snapshot.
            elif snapshot.pair not in retired and newest[snapshot.pair] <= max(1, keep.snapshots):
                reasons.setdefault(snapshot.ref, f"one of the newest {keep.snapshots} of {snapshot.pair}")
        for move in self._catalog.aliases.history(since=as_kept(since)):
            for ref in (move.source, move.target):
                reasons.setdefault(ref or "", f"alias {move.alias!r} moved from or to it within the cool-down")
        refs = {snapshot.ref for snapshot in snapshots}
        return {ref: why for ref, why in reasons.items() if ref in refs}

    def _in_use(self) -> dict[str, str]:
        """Snapshots in use right now. The one that a pair would serve from is, unless the pair is retired."""
        aliases = self._catalog.aliases.all()
        reasons = {target.ref: f"alias {name!r}" for name, target in aliases.items()}
        for name, target in self._catalog.pairs.tags().items():
            reasons.setdefault(str(SnapshotRef(*target)), f"tag {name!r}")
        for alias in aliases:
            for searcher in self._catalog.searchers.registered(alias):
                for ref in searcher.warm:
                    reasons.setdefault(ref, f"searcher {searcher.host}:{searcher.pid} holds it open")
        for pair in self._catalog.pairs.all():
            if pair.state != "retired":
                reasons.setdefault(pair.ref, f"what {pair.name} serves from")
        return reasons

    def _unnamed(self, staying: list[Snapshot], without: set[str], keep: RetentionRules) -> Iterator[PrunableFile]:
        """Files that no staying snapshot or pair names, untouched for the cool-down. Raises CorruptArtifactError."""
        paths = self._paths_in_use(staying, without)
        for candidate in self._files.candidates():
            least = max(keep.cool_down, UNFINISHED_SECONDS) if candidate.unfinished else keep.cool_down
            if self._ours(candidate.path) and candidate.path not in paths and candidate.age > least:
                yield PrunableFile(candidate.path, candidate.bytes)

    def _ours(self, path: str) -> bool:
        """Whether it is an artefact, or the vectors of some pair: the log is never for a prune."""
        prefix = vectors_table("")
        return path.startswith("artifacts/") or path.rpartition("/")[2].removeprefix(ASIDE).startswith(prefix)

    def _paths_in_use(self, staying: list[Snapshot], without: set[str]) -> set[str]:
        artifacts: set[str] = set()
        for snapshot in staying:
            artifacts |= {snapshot.manifest, *load_manifest(self._artifacts, snapshot.manifest).artifacts()}
        pairs = [pair for pair in self._catalog.pairs.all() if pair.name not in without]
        tables = {f"tables/{vectors_table(pair.name)}{_TABLE}" for pair in pairs}
        artifacts |= {pair.probes for pair in pairs}
        artifacts |= {kept.artifact for name, kept in self._catalog.models.all_kept().items() if name not in without}
        artifacts |= {bridge.artifact for bridge in self._catalog.bridges.all()}
        return {f"artifacts/{name}" for name in artifacts} | tables

    # -- apply --------------------------------------------------------------------------------------------------------

    def apply(self, plan: PrunePlan) -> PruneResult:
        """Delete what the plan names and what still nothing uses. Raises LockHeldError while another prune runs."""
        reasons: dict[str, str] = {}
        forget_rehearsals(self._resources)
        with self._catalog.lock("prune", timeout=0):
            pairs = tuple(name for name in plan.pairs if self._forget_pair(name, reasons))
            snapshots = tuple(
                ref
                for ref in plan.snapshots
                if SnapshotRef.parse(ref).pair in pairs or self._forget_snapshot(ref, reasons)
            )
            locks = PruneLocks(self._catalog.alone, self._table_lock)
            files = self._files.take(plan.files, self._paths_in_use_now, locks, plan.keep.cool_down, reasons)
            records = self._catalog.retention.forget(plan.keep)
        self._compactor.run()  # after the snapshots: each held a version of its pair's vectors
        return PruneResult(pairs, snapshots, files, reasons, records, self._compactor.plan())

    def _forget_snapshot(self, ref: str, reasons: dict[str, str]) -> bool:
        try:
            # Looked up again: a searcher may have opened it since the plan was made.
            if why := self._in_use().get(ref):
                raise PairStateError(f"it is held by: {why}")
            self._catalog.pairs.delete_snapshot(self._catalog.pairs.find_snapshot(ref))
        except (PairStateError, UnknownNameError) as error:
            reasons[ref] = error.message
            return False
        reach("prune.snapshot_forgotten")
        return True

    def _forget_pair(self, name: str, reasons: dict[str, str]) -> bool:
        try:
            with self._catalog.lock(f"pair-{name}", timeout=0):
                backend = self._catalog.pairs.get(name).backend
                self._catalog.pairs.forget(name)
                if backend:
                    self._drop(name, backend, reasons)
        except (PairStateError, UnknownNameError, LockHeldError) as error:
            reasons[name] = error.message
            return False
        reach("prune.pair_forgotten")
        return True

    def _drop(self, name: str, place: str, reasons: dict[str, str]) -> None:
        """Remove the collection of a pair that the catalog has forgotten, if it is this store's."""
        try:
            backend = open_backend(place)
            if backend.owner() == f"{self._catalog.store_id}/{name}":
                backend.drop()
        except (StorageUnavailableError, UsageError) as error:
            reasons[place] = f"drop it by hand: {error.message}"

    def _paths_in_use_now(self) -> set[str]:
        return self._paths_in_use(self._catalog.pairs.snapshots(), set())

    def _table_lock(self, table: str) -> AbstractContextManager[None]:
        return self._catalog.lock(f"pair-{table.removeprefix(vectors_table(''))}", timeout=0)
