"""The store: the front door. Everything a command can do is a method here, or a method of one of its attributes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from vecrollback import config
from vecrollback.catalog import now
from vecrollback.errors import UnknownNameError, UsageError, VecrollbackError
from vecrollback.records import (
    LIVE,
    RECALL_FLOOR,
    Approval,
    CatchUp,
    Document,
    Drill,
    Effort,
    ExportResult,
    Ingested,
    JobRecord,
    Json,
    Move,
    MoveRequest,
    Pair,
    Plan,
    ProgressCallback,
    Report,
    Result,
    RuntimeBatches,
    Snapshot,
    SnapshotRef,
    Switched,
    UnembeddedDocument,
)
from vecrollback.store.parts import Parts, open_parts
from vecrollback.store.status import describe

if TYPE_CHECKING:  # a rollback and `status` need none of these rooms; each method imports what it needs
    from vecrollback.automation.guard import Decision, WatchRound
    from vecrollback.catalog.policy_state import PolicyState
    from vecrollback.pairs.manifest import Manifest
    from vecrollback.pairs.prune import Pruner
    from vecrollback.pairs.resources import Resources
    from vecrollback.quality.audit import AuditOptions
    from vecrollback.quality.check import Level
    from vecrollback.quality.evaluation import Golden, Quality
    from vecrollback.reembedding.adopt import AdoptOptions, AdoptResult
    from vecrollback.reembedding.jobs import Job
    from vecrollback.serving.inspect import Inspection
    from vecrollback.serving.searcher import Queries, Searcher
    from vecrollback.store.tokens import Tokens
    from vecrollback.switching.approvals import Authority, DecisionResult
    from vecrollback.switching.canary import Canaries
    from vecrollback.switching.gates import Gates
    from vecrollback.switching.incidents.incidents import Incidents
    from vecrollback.switching.notifications import Notifications
    from vecrollback.switching.policy import Policy

PairLike = Pair | str
T = TypeVar("T")


def connect(
    uri: str | Path | None = None, *, catalog: str | None = None, create: bool = False, actor: str | None = None
) -> Store:
    """Open a store. Default: `VECROLLBACK_STORE`, then `store` in vecrollback.toml, then indices/default.

    `uri`: a directory, or `s3://bucket/prefix`. `catalog`: URL of a PostgreSQL database; without one (argument,
    `VECROLLBACK_CATALOG`, file), or with "", it is SQLite in the directory. `create` lays the store out when there is
    none. Raises StoreNotFoundError, StoreFormatError, CatalogMismatchError. Any number of processes may have one open.
    """
    settings = config.load(store=str(uri) if uri is not None else None, catalog=catalog, actor=actor)
    return Store(open_parts(settings, create=create))


class Store:
    """One vector system: a corpus, the pairs that view it, and the pointer to the one that serves.

    Open it with `connect`; use it with `with`, or close it. Safe to use from many threads.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts, self._catalog = parts, parts.catalog

    @property
    def actor(self) -> str:
        """Who moves pointers and keeps things through this object, for the history."""
        return self._parts.settings.actor

    @property
    def uri(self) -> str:
        """How another process opens this store, but for its secrets: an absolute path, or s3://..."""
        return self._parts.uri

    @property
    def root(self) -> Path:
        """The store's directory; of a store on object storage, this machine's folder for what it derives from it."""
        return self._parts.root

    @property
    def resources(self) -> Resources:
        """The catalog, the log, the files and the models: what vecrollback's own rooms work with."""
        return self._parts.resources

    @property
    def gates(self) -> Gates:
        """What must hold before a pair serves, and whether it holds of a pair."""
        return self._parts.gates

    @property
    def canaries(self) -> Canaries:
        """The trial of a pair on a share of the traffic: start, advance, stop, and how it stands."""
        return self._parts.canaries

    @property
    def incidents(self) -> Incidents:
        """What is kept of every rollback: timeline, trigger, blast radius, proof."""
        return self._parts.incidents

    @property
    def authority(self) -> Authority:
        """Freezes that hold automation back, and moves that wait for people."""
        return self._parts.authority

    @property
    def notices(self) -> Notifications:
        """Messages to people, in the order in which they are to be sent."""
        return self._parts.notices

    @property
    def measurements(self) -> PolicyState:
        """What a policy has measured of `live`, and values that were pushed from outside."""
        return self._catalog.watching

    @property
    def golden(self) -> Golden:
        """The golden queries: those whose right answers are known."""
        return self._parts.golden

    @property
    def quality(self) -> Quality:
        """Two pairs over the same queries: measures, significance, and where they differ."""
        return self._parts.quality

    @property
    def inspection(self) -> Inspection:
        """Pairs side by side, also those that do not serve: one query on two, a map of one's vectors."""
        return self._parts.inspection

    @property
    def retention(self) -> Pruner:
        """What may be deleted: plan it, then apply the plan."""
        return self._parts.retention

    @property
    def access(self) -> Tokens:
        """Tokens of the HTTP API, and the record of what was changed with them."""
        return self._parts.access

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- documents ----------------------------------------------------------------------------------------------------

    def upsert(self, documents: Iterable[Document]) -> int:
        """Write new and changed documents; returns the seq of the head. Durable when it returns.

        A document equal to the stored one makes no change. Raises BadDocumentError, also for an id given twice; then
        nothing of this call was written.
        """
        from vecrollback.corpus.documents import validate_batch

        return self.resources.corpus.upsert(validate_batch(documents))[0]

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents for good; returns the seq of the head. No query returns them from now on."""
        from vecrollback.corpus.documents import validate_id

        if isinstance(ids, str):
            raise UsageError("delete takes a list of ids, not one string", hint=f"store.delete([{ids!r}])")
        return self.resources.corpus.delete([validate_id(id_) for id_ in ids])[0]

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
        from vecrollback.corpus.ingest import Ingestion

        ingestion = Ingestion(self.resources.corpus, skip_bad=skip_bad, progress=progress)
        return ingestion.run(Path(path), id_field=id_field, text_field=text_field, changes=changes)

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """Live documents by id."""
        corpus = self.resources.corpus
        return corpus.at_head(lambda state: corpus.get(list(ids), version=state.version))

    def compact(self, *, purge: bool = False) -> None:
        """Merge small files of the corpus; with `purge` no byte of a deleted text stays in the store."""
        self.resources.corpus.compact(purge=purge)
        if purge:
            for cached in self.resources.cache.glob("documents-*.arrow"):
                cached.unlink(missing_ok=True)

    # -- pairs --------------------------------------------------------------------------------------------------------

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
        return self._catalog.ledger.state().head - self.pair(pair).watermark

    def plan(
        self,
        embedder: str,
        *,
        name: str | None = None,
        index: str = "auto",
        price: float | None = None,
        measure: bool | None = None,
        seed: int | None = None,
    ) -> Plan:
        """What `reembed` would take for these arguments. Changes nothing.

        `price`: dollars per million tokens; default: the embedder's own. `measure`: time a short run; None times it
        unless the model is behind a service, where that costs money. Raises EmbedderSpecError, EmbeddingError.
        """
        return self._parts.planner(embedder, name=name, index=index, price=price, measure=measure, seed=seed)

    def reembed(
        self,
        embedder: str,
        *,
        index: str = "auto",
        name: str | None = None,
        settings: Mapping[str, Json] | None = None,
        recall_floor: float = RECALL_FLOOR,
        effort: Effort | None = None,
        progress: ProgressCallback | None = None,
    ) -> Job[Pair]:
        """Build a pair from the log, beside whatever serves. The same call resumes a job that was cut off.

        `embedder`: one string, see `vecrollback.embedders`. `index`: "auto", a FAISS factory string, `lance:...`, or
        `shards:N(...)` with one of these. `effort`: where it works and how hard. The job's result is the pair, `ready`,
        or as it was when it is finished.
        """
        from vecrollback.reembedding.builder import BuildRequest
        from vecrollback.reembedding.jobs import Job

        builder = self._parts.builder
        pair = builder.begin(BuildRequest(embedder, index, name, settings, recall_floor))
        record = self._catalog.jobs.start("reembed", pair.name)
        work = partial(builder.build, pair, record.id, progress, recall_floor, effort or Effort())
        return Job(self._catalog, record, work)

    def catch_up(
        self,
        pair: PairLike,
        *,
        advance: bool = True,
        effort: Effort | None = None,
        progress: ProgressCallback | None = None,
    ) -> CatchUp:
        """Bring a pair to the head of the log with its own embedder, while it serves."""
        from vecrollback.reembedding.jobs import Job

        found, builder = self.pair(pair), self._parts.builder
        job = self._catalog.jobs.start("catch-up", found.name)
        work = partial(builder.catch_up, found, job.id, progress, advance=advance, effort=effort or Effort())
        return Job(self._catalog, job, work).wait()

    def adopt(self, source: str, *, model: str, **options: Unpack[AdoptOptions]) -> AdoptResult:
        """Bring an index that is kept elsewhere in as a pair; only what an audit does not prove pure is embedded.

        `source`: see `vecrollback.connectors`. Raises FingerprintMismatchError, CheckRefusedError; then nothing
        was written. Ends with a check.
        """
        from vecrollback.reembedding.adopt import Adopter

        adopted = Adopter(self.resources, self._parts.builder).run(source, model, options)
        return replace(adopted, report=self.check(adopted.pair))

    def equate(self, a: str, b: str) -> float:
        """Declare two embedders, each a pair's name or an embedder string, to be one model; returns the worst cosine.

        Raises EmbedderChangedError unless their probes agree.
        """
        return self.resources.embedders.equate(a, b, actor=self.actor)

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def jobs(self, *, unfinished: bool = False) -> list[JobRecord]:
        """Jobs, newest first."""
        return self._catalog.jobs.all(unfinished=unfinished)

    def job(self, job: str) -> JobRecord:
        """One job as it stands. Raises UnknownNameError."""
        return self._catalog.jobs.get(job)

    def start_job(self, kind: str, pair: str, work: Callable[[ProgressCallback], T]) -> Job[T]:
        """Run any long work as a job that the catalog knows, so that it can be watched and cancelled from everywhere.

        The callback that `work` gets reports its progress, and ends it when it was cancelled.
        """
        from vecrollback.reembedding.jobs import Job, Reporter

        record = self._catalog.jobs.start(kind, pair)
        reporter = Reporter(self._catalog, record.id, None)
        return Job(self._catalog, record, lambda: work(reporter.check))

    def cancel(self, job: str) -> JobRecord:
        """Ask a job to stop at its next batch. Idempotent. Raises UnknownNameError."""
        self._catalog.jobs.cancel(job)
        return self.job(job)

    def pause(self, job: str) -> JobRecord:
        """Ask a job to wait before its next batch, until `resume`. Idempotent. Raises UnknownNameError."""
        return self._paused(job, paused=True)

    def resume(self, job: str) -> JobRecord:
        """Let a paused job go on. Idempotent. Raises UnknownNameError."""
        return self._paused(job, paused=False)

    def unembedded_documents(self, job: str) -> list[UnembeddedDocument]:
        """Documents that a job could not embed and that still have no vector."""
        return self._catalog.embedding.without(job=job)

    def runtime_batches(self, pair: PairLike) -> list[RuntimeBatches]:
        """Which runtimes embedded batches of a pair, beside its own embedder, and what was measured of each."""
        return self._catalog.embedding.made(self.pair(pair).name)

    # -- snapshots ----------------------------------------------------------------------------------------------------

    def snapshot(self, pair: PairLike | None = None, *, rebuild: bool = False) -> Snapshot:
        """Take a snapshot of a pair (default: the live one); costs what changed since the last, unless `rebuild`."""
        return self._parts.builder.snapshot(self._or_live(pair).name, rebuild=rebuild)

    def snapshots(self, pair: PairLike | None = None) -> list[Snapshot]:
        """Snapshots of one pair or of all."""
        return self._catalog.pairs.snapshots(None if pair is None else self.pair(pair).name)

    def manifest(self, ref: str) -> tuple[Snapshot, Manifest]:
        """The snapshot `PAIR@N`, `PAIR` or a tag, and its manifest, verified."""
        from vecrollback.pairs.manifest import load_manifest

        snapshot = self._catalog.pairs.find_snapshot(ref)
        return snapshot, load_manifest(self._parts.artifacts, snapshot.manifest)

    def export_snapshot(self, ref: str, path: str | Path, *, progress: ProgressCallback | None = None) -> ExportResult:
        """Write a snapshot, its vectors and their texts to one file: a backup that any store can import."""
        return self._parts.bundles.export(ref, Path(path), progress)

    def import_snapshot(self, path: str | Path, *, name: str | None = None) -> Snapshot:
        """Bring in a bundle, as its own pair or, from another store, as a new one; see
        `vecrollback.pairs.bundles.Bundles.import_`.

        No deleted document returns by it. Raises BundleError; then nothing was changed.
        """
        return self._parts.bundles.import_(Path(path), name)

    def tag(self, name: str, ref: str) -> None:
        """Name a snapshot; a tagged one is kept."""
        self._catalog.pairs.set_tag(name, self._catalog.pairs.find_snapshot(ref))

    def tags(self) -> dict[str, str]:
        """Tag -> snapshot."""
        return {name: str(SnapshotRef(*held)) for name, held in self._catalog.pairs.tags().items()}

    def untag(self, name: str) -> None:
        """Take a tag away; its snapshot stays until a prune."""
        self._catalog.pairs.delete_tag(name)

    def delete_snapshot(self, ref: str) -> None:
        """Forget a snapshot. Raises PairStateError while an alias, a tag or its pair holds it."""
        self._catalog.pairs.delete_snapshot(self._catalog.pairs.find_snapshot(ref))

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
        return self._parts.searcher.search(query, k, where, key=key)

    def searcher(self, *, alias: str = LIVE, follow: bool = True) -> Searcher:
        """A long-lived searcher for a service: follows the alias, holds live and standby open, acknowledges moves."""
        from vecrollback.serving.searcher import Searcher

        return Searcher(self.resources, alias=alias, follow=follow)

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
        found, request = self.pair(pair), MoveRequest(reason, actor or self.actor, override, wait)
        self._parts.switch.gate(found, request)
        needed = self.gates.sampling()
        if self.lag(found):
            self.catch_up(found, progress=progress)
        report = self.check(found, bound=needed.bound, confidence=needed.confidence)
        found = self.pair(found)
        if override:
            self.resources.embedders.of(found)  # no reason is good enough for a pair whose queries would all fail
        self._parts.switch.gate(found, request, report)
        request = self.gates.passed(found, request)
        return self._warned(replace(self._parts.switch.promote(found, report, request), report=report))

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
        request = MoveRequest(reason, actor or self.actor, override, wait, expected_epoch=expected_epoch)
        decided = now()
        switched = self.incidents.open(self._parts.switch.rollback(name, request), decided=decided, trigger=trigger)
        return self.prove(switched, progress) if catch_up else self._warned(switched)

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
        from vecrollback.switching.policy import Policy, load_policy

        request = MoveRequest(reason, actor or self.actor, wait_seconds=wait, expected_epoch=expected_epoch)
        decided = now()
        policy = load_policy(self.root) or Policy()
        if needed := policy.authority.restore_approvals:
            self.authority.require(ref, request.reason, actor=request.actor, needed=needed, approval=approval)
        switched = self.incidents.open(self._parts.switch.restore(ref, request), decided=decided)
        return self.prove(switched, progress) if catch_up else self._warned(switched)

    def prove(self, switched: Switched, progress: ProgressCallback | None = None) -> Switched:
        """Catch up and check what a move let serve, and complete its incident. The move stands whatever happens here.

        Raises nothing for what goes wrong: it is told in `trouble`, of the result and of the incident.
        """
        pair = SnapshotRef.parse(switched.target).pair
        try:
            caught_up = self.catch_up(pair, advance=False, progress=progress)
            switched = replace(switched, caught_up=caught_up)
            switched = replace(switched, report=self.check(pair))
        except (VecrollbackError, OSError) as error:
            switched = replace(switched, trouble="; ".join(filter(None, (switched.trouble, str(error)))))
        return self._warned(self.incidents.settle(switched))

    def rollback_target(self, to: str | None = None, *, override: bool = False) -> Snapshot:
        """Where a rollback would go now. Raises NoRollbackTargetError, which says why nowhere."""
        return self._parts.switch.target(to, override=override)

    def history(self, *, alias: str | None = None, limit: int | None = None) -> list[Move]:
        """Pointer moves, newest first."""
        return self._catalog.aliases.history(alias, limit=limit)

    def approve(
        self,
        number: int,
        *,
        reason: str = "",
        catch_up: bool = True,
        progress: ProgressCallback | None = None,
        wait: float = 10.0,
        actor: str | None = None,
    ) -> DecisionResult:
        """Agree to request `number`; the last person who is needed makes the move.

        Raises AliasMovedError when `live` has moved since it was asked for; the request has expired then.
        """
        who = actor or self.actor

        def move(request: Approval) -> Switched:
            why = f"{request.reason} (request {number}, approved by {', '.join(request.approved_by)})"
            how: dict[str, Any] = {"reason": why, "catch_up": catch_up, "progress": progress, "wait": wait}
            how |= {"actor": who, "expected_epoch": request.epoch}
            if request.kind == "restore":
                return self.restore(str(request.target), approval=number, **how)
            return self.rollback(request.target, trigger=request.trigger, **how)

        return self.authority.approve(number, actor=who, reason=reason, move=move)

    def reject(self, number: int, *, reason: str, actor: str | None = None) -> Approval:
        """Refuse request `number`."""
        return self.authority.reject(number, actor=actor or self.actor, reason=reason)

    # -- automation ---------------------------------------------------------------------------------------------------

    def watch(
        self,
        queries: Sequence[str] | None = None,
        *,
        policy: str | None = None,
        rounds: int | None = None,
        stopping: Callable[[], bool] = lambda: False,
        on_reading: Callable[[Mapping[str, Json]], None] | None = None,
        on_decision: Callable[[Decision], None] = lambda _: None,
    ) -> WatchRound:
        """Watch `live` by a policy, asking it queries (default: the golden ones), and do what the policy says.

        Ends with `stopping` or after so many rounds. Waits while another watch of the store leads. Raises UsageError
        without a policy or queries.
        """
        from vecrollback.automation.guard import watch_store

        asked = [query.text for query in self.golden.list()] if queries is None else queries
        return watch_store(
            self, policy, asked, rounds=rounds, stopping=stopping, on_reading=on_reading, on_decision=on_decision
        )

    def drill(self, chaos: str = "", *, policy: Policy | None = None, actor: str | None = None) -> Drill:
        """Rehearse the whole rollback, or one in which `chaos` is broken on purpose in a copy, and record how it went.

        The verdict is `pass` when every step did what it had to within its objective, `unknown` when there is nothing
        to rehearse yet. Raises UsageError for a kind of chaos that there is not.
        """
        from vecrollback.automation.drills import StoreOpener, run_drill

        opener = StoreOpener(connect, (sys.executable, "-m", "vecrollback.store"))
        return run_drill(self, opener, chaos, policy=policy, actor=actor)

    def drills(self, *, limit: int | None = None) -> list[Drill]:
        """Drills that were run, newest first."""
        return self._catalog.drills.all(limit=limit)

    def runbook(self) -> str:
        """The runbook of this very store, as Markdown: its names, what to type, objectives, last drill, contacts."""
        from vecrollback.automation.runbook import write_runbook

        return write_runbook(self)

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
        from vecrollback.quality.check import Sampling

        report = self._parts.checker.run(self._or_live(pair), level, Sampling(bound, confidence, sample, seed))
        if level == "full" or report.verdict != "pass":  # a quick pass must not hide what a full check found
            self._catalog.reports.add(report)
        return report

    def audit(
        self, pair: PairLike | None = None, *, progress: ProgressCallback | None = None, **asking: Unpack[AuditOptions]
    ) -> Report:
        """Check a pair (default: the live one), and search it for vectors that its embedder did not make.

        Takes `suspects`, `budget`, `bound`, `confidence` and `seed`, see `vecrollback.quality.audit.AuditOptions`.
        """
        return self._parts.auditor.run(self._or_live(pair), asking, progress)

    def report(self, pair: PairLike) -> Report | None:
        """What the newest kept check of a pair said; None when it was never checked."""
        return self._catalog.reports.newest(self.pair(pair).name)

    def repair(self, report: Report, *, mask: bool = False, progress: ProgressCallback | None = None) -> Report:
        """Re-embed and rewrite what a check found, into a new snapshot; returns the check after it.

        While it runs every document is answered from the vectors it had; with `mask`, those whose vectors are foreign
        or invalid are in no answer until the new ones are written.
        """
        from vecrollback.quality.audit import certified
        from vecrollback.reembedding.jobs import Job
        from vecrollback.reembedding.repair import Repairer

        pair, repairer = self.pair(report.pair), Repairer(self.resources.corpus, self._parts.builder)
        record = self._catalog.jobs.start("repair", pair.name)
        Job(self._catalog, record, lambda: repairer.run(pair, report, record.id, progress, mask=mask)).wait()
        after = certified(self._parts.checker.run(self.pair(pair), "full"), report)
        self._catalog.reports.add(after)
        return after

    def status(self) -> dict[str, Json]:
        """Aliases, corpus, pairs with their lag, unfinished jobs: one reading of the catalog, no model, no table."""
        return {"store": self._parts.file_store.uri, "catalog": self._catalog.place} | describe(self._catalog)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _or_live(self, pair: PairLike | None) -> Pair:
        return self.live() if pair is None else self.pair(pair)

    def _warned(self, switched: Switched) -> Switched:
        return replace(switched, warning=self.authority.warning())

    def _paused(self, job: str, *, paused: bool) -> JobRecord:
        self.job(job)  # raises for a name that is unknown
        self._catalog.jobs.pause(job, paused)
        return self.job(job)
