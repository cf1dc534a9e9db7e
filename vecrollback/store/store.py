"""The store: the front door. Everything a command can do is a method here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, overload

from vecrollback import config
from vecrollback.catalog import now
from vecrollback.errors import VecrollbackError
from vecrollback.pairs.snapshots import RECALL_FLOOR
from vecrollback.quality.audit import AuditOptions, certified
from vecrollback.quality.check import Level, Sampling
from vecrollback.records import (
    LIVE,
    CatchUp,
    Effort,
    Json,
    Move,
    Pair,
    ProgressCallback,
    Report,
    Result,
    Snapshot,
    SnapshotRef,
    Switched,
)
from vecrollback.reembedding.builder import BuildRequest
from vecrollback.reembedding.dispatch import PLAIN
from vecrollback.reembedding.jobs import Job
from vecrollback.serving.searcher import Queries, Searcher
from vecrollback.store.contents import Contents, PairLike
from vecrollback.store.status import describe
from vecrollback.switching.policy import Policy, load_policy
from vecrollback.switching.switch import Order

if TYPE_CHECKING:
    from vecrollback.reembedding.adopt import AdoptOptions, AdoptResult


def connect(
    uri: str | Path | None = None, *, catalog: str | None = None, create: bool = False, actor: str | None = None
) -> Store:
    """Open a store. Default: `VECROLLBACK_STORE`, then `store` in vecrollback.toml, then indices/default.

    `uri`: a directory, or `s3://bucket/prefix`. `catalog`: URL of a PostgreSQL database; without one (argument,
    `VECROLLBACK_CATALOG`, file), or with "", it is SQLite in the directory. `create` lays the store out when there is
    none. Raises StoreNotFoundError, StoreFormatError, CatalogMismatchError. Any number of processes may have one open.
    """
    settings = config.load(store=str(uri) if uri is not None else None, catalog=catalog, actor=actor)
    return Store(settings, create=create)


class Store(Contents):
    """One vector system: a corpus, the pairs that view it, and the pointer to the one that serves.

    Open it with `connect`; use it with `with`, or close it. Safe to use from many threads.
    """

    # -- pairs --------------------------------------------------------------------------------------------------------

    def reembed(
        self,
        embedder: str,
        *,
        index: str = "auto",
        name: str | None = None,
        settings: Mapping[str, Json] | None = None,
        recall_floor: float = RECALL_FLOOR,
        effort: Effort = PLAIN,
        progress: ProgressCallback | None = None,
    ) -> Job[Pair]:
        """Build a pair from the log, beside whatever serves. The same call resumes a job that was cut off.

        `embedder`: one string, see `vecrollback.embedders`. `index`: "auto", a FAISS factory string, `lance:...`, or
        `shards:N(...)` with one of these. `effort`: where it works and how hard. The job's result is the pair, `ready`,
        or as it was when it is finished.
        """
        pair = self._builder.begin(BuildRequest(embedder, index, name, settings, recall_floor))
        record = self._catalog.jobs.start("reembed", pair.name)
        return Job(self._catalog, record, lambda: self._builder.build(pair, record.id, progress, recall_floor, effort))

    def catch_up(
        self, pair: PairLike, *, advance: bool = True, effort: Effort = PLAIN, progress: ProgressCallback | None = None
    ) -> CatchUp:
        """Bring a pair to the head of the log with its own embedder, while it serves."""
        found = self.pair(pair)
        job = self._catalog.jobs.start("catch-up", found.name)
        work = partial(self._builder.catch_up, found, job.id, progress, advance=advance, effort=effort)
        return Job(self._catalog, job, work).wait()

    def adopt(self, source: str, *, model: str, **options: Unpack[AdoptOptions]) -> AdoptResult:
        """Bring an index that is kept elsewhere in as a pair; only what an audit does not prove pure is embedded.

        `source`: see `vecrollback.connectors`. Raises FingerprintMismatchError, CheckRefusedError; then nothing
        was written. Ends with a check.
        """
        from vecrollback.reembedding.adopt import Adopter

        parts = self._catalog, self._corpus, self._artifacts, self._embedders, self._builder, self._vectors
        adopted = Adopter(*parts).run(source, model, options)
        return replace(adopted, report=self.check(adopted.pair))

    def equate(self, a: str, b: str) -> float:
        """Declare two embedders, each a pair's name or an embedder string, to be one model; returns the worst cosine.

        Raises EmbedderChangedError unless their probes agree.
        """
        return self._embedders.equate(a, b, actor=self.actor)

    # -- serving ------------------------------------------------------------------------------------------------------

    @overload
    def search(self, query: str, k: int = 10, where: str | None = None, *, key: str | None = None) -> Result: ...
    @overload
    def search(
        self, query: Queries, k: int = 10, where: str | None = None, *, key: str | None = None
    ) -> list[Result]: ...
    def search(
        self, query: str | Queries, k: int = 10, where: str | None = None, *, key: str | None = None
    ) -> Result | list[Result]:
        """The k nearest documents, from the pair that is live at this moment; see `Searcher.search`."""
        with self._lock:
            if self._searcher is None:
                self._searcher = self.searcher(follow=False)
        return self._searcher.search(query, k, where, key=key)

    def searcher(self, *, alias: str = LIVE, follow: bool = True) -> Searcher:
        """A long-lived searcher for a service: follows the alias, holds live and standby open, acknowledges moves."""
        return Searcher(self._catalog, self._corpus, self._holder(), alias=alias, follow=follow)

    # -- switching ----------------------------------------------------------------------------------------------------

    def promote(
        self,
        pair: PairLike,
        *,
        reason: str = "",
        override: bool = False,
        progress: ProgressCallback | None = None,
        wait: float = 10.0,
        actor: str | None = None,
    ) -> Switched:
        """Let a pair serve: catch it up, check it, look at its gates and the way back, let searchers load it, move.

        Raises CheckRefusedError, GateRefusedError, QuarantinedError, PairStateError; `override` with a reason passes
        those, but never a model that cannot be loaded: every query would fail.
        """
        found, order = self.pair(pair), Order(reason, actor or self.actor, override, wait)
        self._switch.gate(found, order)
        needed = self.gates.sampling()
        if self.lag(found):
            self.catch_up(found, progress=progress)
        report = self.check(found, bound=needed.bound, confidence=needed.confidence)
        found = self.pair(found)
        if override:
            self._embedders.of(found)  # no reason is good enough for a pair whose queries would all fail
        self._switch.gate(found, order, report)
        order = self.gates.passed(found, order)
        return self._warned(replace(self._switch.promote(found, report, order), report=report))

    def rollback(
        self,
        to: PairLike | None = None,
        *,
        reason: str,
        override: bool = False,
        catch_up: bool = True,
        progress: ProgressCallback | None = None,
        wait: float = 10.0,
        expected_epoch: int | None = None,
        actor: str | None = None,
        trigger: Mapping[str, Json] | None = None,
    ) -> Switched:
        """Move model and index back together; then, while the older pair serves, catch it up and check it.

        `expected_epoch`: of `live` when the decision was made; `trigger`: what was measured, for the incident. Raises
        AliasMovedError when the epoch is another one by now, NoRollbackTargetError; nothing moved then. Once moved,
        trouble with the rest is told in the result.
        """
        name = to.name if isinstance(to, Pair) else to
        order = Order(reason, actor or self.actor, override, wait, expected_epoch=expected_epoch)
        decided = now()
        switched = self.incidents.open(self._switch.rollback(name, order), decided=decided, trigger=trigger)
        return self._proven(switched, progress) if catch_up else self._warned(switched)

    def restore(
        self,
        ref: str,
        *,
        reason: str,
        catch_up: bool = True,
        progress: ProgressCallback | None = None,
        wait: float = 10.0,
        actor: str | None = None,
        expected_epoch: int | None = None,
        approval: int | None = None,
    ) -> Switched:
        """Let one exact snapshot `PAIR@N` serve; what was deleted since stays deleted.

        Raises ApprovalNeededError when the policy wants others to agree, unless `approval` is a request for this very
        snapshot to which they have agreed.
        """
        order = Order(reason, actor or self.actor, wait_seconds=wait, expected_epoch=expected_epoch)
        decided = now()
        policy = load_policy(self.root) or Policy()
        if needed := policy.authority.restore_approvals:
            self.authority.require(ref, order.reason, actor=order.actor, needed=needed, approval=approval)
        switched = self.incidents.open(self._switch.restore(ref, order), decided=decided)
        return self._proven(switched, progress) if catch_up else self._warned(switched)

    def rollback_target(self, to: str | None = None, *, override: bool = False) -> Snapshot:
        """Where a rollback would go now. Raises NoRollbackTargetError, which says why nowhere."""
        return self._switch.target(to, override=override)

    def history(self, *, alias: str | None = None, limit: int | None = None) -> list[Move]:
        """Pointer moves, newest first."""
        return self._catalog.aliases.history(alias, limit=limit)

    # -- proof --------------------------------------------------------------------------------------------------------

    def check(
        self,
        pair: PairLike | None = None,
        level: Level = "full",
        *,
        bound: float = 0.01,
        confidence: float = 0.95,
        sample: int | None = None,
        seed: int | None = None,
    ) -> Report:
        """Audit a pair (default: the live one) against the log; the report is kept.

        "quick" looks at the catalog and at which files are there. "full" reads everything and re-embeds a random
        sample: as many chunks as certify at most `bound` foreign vectors at `confidence`, or `sample` of them.
        """
        found = self.live() if pair is None else self.pair(pair)
        report = self._checker.run(found, level, Sampling(bound, confidence, sample, seed))
        if level == "full" or report.verdict != "pass":  # a quick pass must not hide what a full check found
            self._catalog.reports.add(report)
        return report

    def audit(
        self, pair: PairLike | None = None, *, progress: ProgressCallback | None = None, **asking: Unpack[AuditOptions]
    ) -> Report:
        """Check a pair (default: the live one), and search it for vectors that its embedder did not make.

        Takes `suspects`, `budget`, `bound`, `confidence` and `seed`, see `vecrollback.quality.audit.AuditOptions`.
        """
        return self._auditor.run(self.live() if pair is None else self.pair(pair), asking, progress)

    def report(self, pair: PairLike) -> Report | None:
        """What the newest kept check of a pair said; None when it was never checked."""
        return self._catalog.reports.newest(self.pair(pair).name)

    def repair(self, report: Report, *, mask: bool = False, progress: ProgressCallback | None = None) -> Report:
        """Re-embed and rewrite what a check found, into a new snapshot; returns the check after it.

        While it runs every document is answered from the vectors it had; with `mask`, those whose vectors are foreign
        or invalid are in no answer until the new ones are written.
        """
        pair = self.pair(report.pair)
        record = self._catalog.jobs.start("repair", pair.name)
        Job(self._catalog, record, lambda: self._repairer.run(pair, report, record.id, progress, mask=mask)).wait()
        after = certified(self._checker.run(self.pair(pair), "full"), report)
        self._catalog.reports.add(after)
        return after

    # -- status -------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Json]:
        """Aliases, corpus, pairs with their lag, unfinished jobs: one reading of the catalog, no model, no table."""
        return {"store": self._file_store.uri, "catalog": self._catalog.place} | describe(self._catalog)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _warned(self, switched: Switched) -> Switched:
        return replace(switched, warning=self.authority.warning())

    def _proven(self, switched: Switched, progress: ProgressCallback | None) -> Switched:
        """Catch up and check after a move. The move stands whatever happens here."""
        pair = SnapshotRef.parse(switched.target).pair
        try:
            caught_up = self.catch_up(pair, advance=False, progress=progress)
            switched = replace(switched, caught_up=caught_up, report=self.check(pair))
        except (VecrollbackError, OSError) as error:
            switched = replace(switched, trouble="; ".join(filter(None, (switched.trouble, str(error)))))
        return self._warned(self.incidents.settle(switched))
