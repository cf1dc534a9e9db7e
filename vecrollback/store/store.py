"""The store: the front door. Everything a command can do is a method here, or a method of one of its attributes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from vecrollback.catalog import Catalog, now
from vecrollback.errors import NoPairServesError, StoreClosedError, UsageError, VecrollbackError
from vecrollback.records import (
    LIVE,
    RECALL_FLOOR,
    Approval,
    CatchUp,
    Drill,
    Effort,
    ExportResult,
    Json,
    LivePair,
    MoveRequest,
    Pair,
    Plan,
    ProgressCallback,
    Report,
    RestorePlan,
    Situation,
    SituationLine,
    Snapshot,
    SnapshotRef,
    Switched,
)
from vecrollback.records.cascade import MOST_A_QUERY, MOST_A_SECOND, PromotedBy
from vecrollback.storage import config
from vecrollback.store.bridges import BridgeMethods
from vecrollback.store.cascades import CascadeMethods
from vecrollback.store.documents import DocumentMethods
from vecrollback.store.helper import aside
from vecrollback.store.history import HistoryMethods
from vecrollback.store.jobs import JobMethods
from vecrollback.store.models import ModelMethods
from vecrollback.store.parts import Parts, open_parts
from vecrollback.store.status import describe
from vecrollback.store.storage import StorageMethods
from vecrollback.store.upkeep import UpkeepMethods

if TYPE_CHECKING:  # a rollback and `status` need none of these rooms; each method imports what it needs
    from vecrollback.catalog.policy_state import PolicyState
    from vecrollback.pairs.manifest import Manifest
    from vecrollback.pairs.resources import Resources
    from vecrollback.quality.audit import AuditOptions
    from vecrollback.quality.check import Level
    from vecrollback.quality.evaluation import Golden, Quality
    from vecrollback.reembedding.adopt import AdoptOptions, AdoptResult
    from vecrollback.reembedding.jobs import Job
    from vecrollback.serving.inspect import Inspection
    from vecrollback.serving.searcher import Searcher
    from vecrollback.store.automation.watch import Decision, WatchRound
    from vecrollback.store.tokens import Tokens
    from vecrollback.switching.approvals import Approvals, DecisionResult
    from vecrollback.switching.canary import Canaries
    from vecrollback.switching.freezes import Freezes
    from vecrollback.switching.gates import Gates
    from vecrollback.switching.incidents.incidents import Incidents
    from vecrollback.switching.notifications import Notifications
    from vecrollback.switching.policy import Policy

PairLike = Pair | str
T = TypeVar("T")


def connect(
    uri: str | Path | None = None,
    *,
    catalog: str | None = None,
    create: bool = False,
    actor: str | None = None,
    embedder: str | None = None,
    follow: bool = False,
) -> Store:
    """Open a store.

    Any number of processes may have one store open. Close it when you are done, or use it with `with`.

    Args:
        uri: A directory, or `s3://BUCKET/PREFIX`. Default: `VECROLLBACK_STORE`, then `store` in `vecrollback.toml` of
            the working directory, then `indices/default`.
        catalog: URL of the PostgreSQL database that holds the catalog. Default: `VECROLLBACK_CATALOG`, then `catalog`
            in the file. With "" or without any of these the catalog is a SQLite file in the store's directory.
        create: Lay the store out if it is not there yet. A store that is there is opened as it is.
        actor: Who is acting, for the history. Default: `VECROLLBACK_ACTOR`, then `actor` in the file, then USER@HOST.
        embedder: Of a store that has no pair yet: build its first one with this model and let it serve, so that what
            is written can be found. As for `Store.reembed`. A store that has a pair is opened as it is.
        follow: `search` follows the live pair in the background from its first query on, as a `searcher` does: no query
            waits for a model to load after a move. For a service.

    Returns:
        The open store.

    Raises:
        StoreNotFoundError: There is no store, and `create` is False.
        StoreFormatError: A newer version of vecrollback wrote the store.
        CatalogMismatchError: The catalog belongs to another store.
        EmbedderSpecError: `embedder` is not valid. The store is there.

    Example:
        >>> with connect("other-notes", create=True, embedder="hash:64") as other:
        ...     written = other.upsert([Document("tea", "Steep green tea.")], visible=True)
        ...     other.search("green tea").hits[0].id
        'tea'
    """
    settings = config.load(store=str(uri) if uri is not None else None, catalog=catalog, actor=actor)
    store = Store(open_parts(settings, create=create, follow=follow))
    if embedder is not None:
        try:
            store._let_first_pair_serve(embedder)
        except BaseException:
            store.close()
            raise
    return store


class Store(
    DocumentMethods,
    ModelMethods,
    BridgeMethods,
    CascadeMethods,
    UpkeepMethods,
    HistoryMethods,
    JobMethods,
    StorageMethods,
):
    """One vector system: documents, the pairs that were made of them, and the pointer to the pair that serves.

    A pair is an embedding model together with its own index. Open a store with `connect`, and use it with `with` or
    close it. It is safe to use from many threads. What a command can do is a method here, or a method of one of the
    attributes.

    Example:
        Two documents and two pairs, of which `v2` serves. The examples of the methods go on from here.

        >>> from vecrollback import Document, connect
        >>> store = connect("notes", create=True, actor="anna")
        >>> store.upsert([Document("tea", "Steep green tea."), Document("bread", "Let the dough rise.")]).head
        2
        >>> v1 = store.reembed("hash:64", name="v1").wait()
        >>> store.promote("v1", reason="the first model").target
        'v1@1'
        >>> v2 = store.reembed("hash:64?seed=2", name="v2").wait()
        >>> store.promote("v2", reason="a better model").target
        'v2@1'
    """

    def __init__(self, parts: Parts) -> None:
        self._opened = parts
        self._closed = False

    @property
    def _parts(self) -> Parts:
        self._require_open()
        return self._opened

    def _require_open(self) -> None:
        if self._closed:
            raise StoreClosedError(f"the store {self.uri} is closed", hint=f"open it again: connect({self.uri!r})")

    @property
    def _catalog(self) -> Catalog:
        return self._parts.catalog

    @property
    def actor(self) -> str:
        """Who moves pointers and keeps things through this object, for the history."""
        return self._opened.settings.actor

    @property
    def uri(self) -> str:
        """How another process opens this store, but for its secrets: an absolute path, or s3://..."""
        return self._opened.uri

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._opened.uri!r})"

    @property
    def root(self) -> Path:
        """The store's directory; of a store on object storage, this machine's folder for what it derives from it."""
        return self._opened.root

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
    def freezes(self) -> Freezes:
        """The times for which automation may move nothing."""
        return self._parts.freezes

    @property
    def approvals(self) -> Approvals:
        """Moves that wait for people to agree."""
        return self._parts.approvals

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
    def access(self) -> Tokens:
        """Tokens of the HTTP API, and the record of what was changed with them."""
        return self._parts.access

    def close(self) -> None:
        """Close the store and let go of its models and files. A second call does nothing.

        Every other method raises StoreClosedError from then on. Jobs that run go on to their end.

        Example:
            >>> store.close()
        """
        self._closed = True
        self._opened.close()

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- pairs --------------------------------------------------------------------------------------------------------

    def pairs(self) -> list[Pair]:
        """List every pair.

        Returns:
            The pairs, oldest first.

        Example:
            >>> [(pair.name, pair.state) for pair in store.pairs()]
            [('v1', 'standby'), ('v2', 'live')]
        """
        return self._catalog.pairs.all()

    def pair(self, pair: PairLike) -> Pair:
        """Read one pair as it is now.

        Args:
            pair: Its name, or the pair as it was read before.

        Returns:
            The pair.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> store.pair("v1").dimension
            64
        """
        return self._catalog.pairs.get(pair if isinstance(pair, str) else pair.name)

    def live(self) -> LivePair:
        """Read the pair that serves.

        Returns:
            The pair, with `epoch`, the number of the move that made it live, and `place`, where its vectors lie: a
            program that searches a database by itself asks for both and the `embedder` with each query.

        Raises:
            UnknownNameError: No pair serves yet.

        Example:
            >>> store.live().name
            'v2'
        """
        pair = self._catalog.pairs.serving(LIVE)
        if pair is None:
            raise NoPairServesError("no pair is live yet", hint="`vecrollback promote PAIR`")
        return pair

    def lag(self, pair: PairLike) -> int:
        """Count the changes in the log that a pair has not taken in yet.

        Args:
            pair: The pair, or its name.

        Returns:
            Changes between the pair's watermark and the head of the log; 0 when it is up to date.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> store.lag("v1")
            0
        """
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
        keep_model: bool | None = None,
    ) -> Plan:
        """Tell what `reembed` would take for these arguments: texts, tokens, time, disk and money. Changes nothing.

        Args:
            embedder: As for `reembed`.
            name: As for `reembed`.
            index: As for `reembed`.
            price: Dollars for a million tokens. Default: what the embedder says.
            measure: Time a short run. None times one unless the model is behind a service, where that would cost money.
            seed: Of what is drawn for it; None draws anew.
            keep_model: As for `reembed`.

        Returns:
            The plan. Sizes are in bytes, times in seconds, money in dollars.

        Raises:
            EmbedderSpecError: The embedder string is not valid.
            EmbeddingError: The model could not embed the short run.

        Example:
            >>> plan = store.plan("hash:128", measure=False)
            >>> plan.documents, plan.texts, plan.reused
            (2, 2, 0)
        """
        return self._parts.planner(
            embedder, name=name, index=index, price=price, measure=measure, seed=seed, keep_model=keep_model
        )

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
        keep_model: bool | None = None,
        backend: str = "",
    ) -> Job[Pair]:
        """Build a pair from the log, beside whatever serves. The same call again resumes a job that was cut off.

        Args:
            embedder: The model with everything that shapes its vectors, as one string: `hash:64`, a model's name or
                folder, or `openai:MODEL`. See `vecrollback.embedders`.
            index: `auto`, a FAISS factory string such as `HNSW32,Flat`, `lance:IVF_PQ`, or `shards:N(...)` with one of
                these.
            name: The pair's name. Default: the name of the pair that this embedder has already, else made from the
                string.
            settings: Free JSON that travels with the pair, such as a score threshold or a prompt.
            recall_floor: Share of the exact neighbours that the new index must find, from 0 to 1.
            effort: Where the job works and how hard. What it makes is the same.
            progress: Called after every batch. An exception that it raises ends the job there.
            keep_model: Keep the model's files in the store, so that nothing that happens to the original changes the
                pair. Default: if they are not over `keep_model_limit` of the settings.
            backend: The database that is to hold the vectors, as `pgvector:postgresql://user@host/database#name`;
                `index` is then one of that database's, such as `hnsw` or `ivfflat:lists=1000`. A password in it is
                not kept. Default: files of the store.

        Returns:
            The job, already running. Its result is the pair: `ready`, or as it was when it is finished already.

        Raises:
            EmbedderSpecError: The embedder string is not valid.
            PairStateError: The name belongs to a pair of another embedder or index.

        Example:
            >>> store.reembed("hash:128", name="v3", index="Flat").wait().state
            'ready'
        """
        from vecrollback.reembedding.builder import BuildRequest
        from vecrollback.reembedding.jobs import Job

        builder = self._parts.builder
        request = BuildRequest(embedder, index, name, settings, recall_floor, keep_model, backend)
        pair = builder.begin(request)
        record = self._catalog.jobs.start("reembed", pair.name)
        work = partial(builder.build, pair, record.id, progress, recall_floor, effort or Effort())
        return Job(self._catalog, record, work)

    def adopt(self, source: str, *, model: str, **options: Unpack[AdoptOptions]) -> AdoptResult:
        """Bring an index that exists elsewhere in as a pair. Only what an audit does not prove pure is embedded again.

        Once more for the same pair it is a sync: what the source has changed, added or lost since is taken; documents
        that were written or deleted here stay as they are here.

        Args:
            source: Where the vectors are: a file, or a collection in a database. See `vecrollback.connectors`.
            model: The embedder string of the model that made them.
            **options: `name`, `index` and `settings` of the pair; `texts`, a file with the texts if the source has
                none; `fields`, which columns hold what; `suspects`, `budget`, `bound`, `confidence` and `seed` of the
                audit; `skip_bad`, to leave out rows that are not valid documents; `override`, to delete also more
                than half of what was taken before; `progress`.

        Returns:
            What became of the rows, with the report of the check at the end.

        Raises:
            FingerprintMismatchError: The vectors are not the model's; nothing was written.
            CheckRefusedError: The audit could not show that they are; nothing was written.

        Example:
            >>> import pyarrow as pa, pyarrow.parquet as pq
            >>> from vecrollback.embedders import open_embedder
            >>> texts = [f"Note {n} is about tea." for n in range(40)]
            >>> rows = {"id": [str(n) for n in range(40)], "text": texts}
            >>> rows["vector"] = list(open_embedder("hash:32").embed_documents(texts))
            >>> pq.write_table(pa.table(rows), "old.parquet")
            >>> store.adopt("old.parquet", model="hash:32", name="old").reused
            40
        """
        from vecrollback.reembedding.adopt import Adopter

        with self._parts.deletes_hidden():
            result = Adopter(self.resources, self._parts.builder).run(source, model, options)
        return replace(result, report=self.check(result.pair))

    # -- snapshots ----------------------------------------------------------------------------------------------------

    @aside
    def snapshot(self, pair: PairLike | None = None, *, rebuild: bool = False) -> Snapshot:
        """Take a snapshot of a pair as it stands. It costs what has changed since the last one.

        Args:
            pair: The pair, or its name. Default: the live one.
            rebuild: Build the index anew over every vector, instead of sharing the last snapshot's.

        Returns:
            The snapshot.

        Raises:
            PairStateError: The pair is not built yet.

        Example:
            >>> store.snapshot("v1").ref
            'v1@2'
        """
        return self._parts.builder.snapshot(self._or_live(pair).name, rebuild=rebuild)

    def snapshots(self, pair: PairLike | None = None) -> list[Snapshot]:
        """List snapshots.

        Args:
            pair: The pair, or its name. Default: those of every pair.

        Returns:
            The snapshots, oldest first.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> [snapshot.ref for snapshot in store.snapshots()]
            ['v1@1', 'v2@1']
        """
        return self._catalog.pairs.snapshots(None if pair is None else self.pair(pair).name)

    def manifest(self, ref: str) -> tuple[Snapshot, Manifest]:
        """Read a snapshot with its manifest, and verify the manifest's digest.

        Args:
            ref: `PAIR@N`, `PAIR` for the snapshot that it serves from, or a tag.

        Returns:
            The snapshot, and what it consists of.

        Raises:
            UnknownNameError: There is no such snapshot.
            CorruptArtifactError: The manifest is missing or damaged.

        Example:
            >>> snapshot, manifest = store.manifest("v1@1")
            >>> snapshot.ref, manifest.rows
            ('v1@1', 2)
        """
        from vecrollback.pairs.manifest import load_manifest

        snapshot = self._catalog.pairs.find_snapshot(ref)
        return snapshot, load_manifest(self._parts.artifacts, snapshot.manifest)

    def export_snapshot(
        self,
        ref: str,
        path: str | Path,
        *,
        sign: bool = False,
        progress: ProgressCallback | None = None,
        model: bool = True,
    ) -> ExportResult:
        """Write a snapshot, its vectors and their texts to one file: a backup that any store can import.

        Args:
            ref: `PAIR@N`, `PAIR` or a tag.
            path: The file. It exists whole or not at all; a file that was there is replaced.
            sign: Also write a signature beside it, PATH.sig, with the key of `VECROLLBACK_KEY_FILE` or
                `VECROLLBACK_KEY`.
            progress: Called after every batch.
            model: With the files of the pair's model, where the store keeps them.

        Returns:
            Size in bytes, SHA-256, and how many documents and chunks the file holds.

        Raises:
            UnknownNameError: There is no such snapshot.
            CorruptArtifactError: Something that would go into the file is damaged.

        Example:
            >>> store.export_snapshot("v1@1", "v1.bundle").documents
            2
        """
        return self._parts.bundles.export(ref, Path(path), progress, sign=sign, model=model)

    def import_snapshot(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        require_signature: bool = False,
        trust_code: bool = False,
    ) -> Snapshot:
        """Bring in an exported snapshot. No deleted document returns by it.

        Into the pair that it came from, what is missing or damaged is restored. From another store it becomes a new
        pair, which embeds no text that both stores have.

        Args:
            path: The file.
            name: The pair's name here. Default: its name there.
            require_signature: Refuse a file that the key of `VECROLLBACK_KEY_FILE` or `VECROLLBACK_KEY` did not sign.
                A signature that is there is verified whenever a key is set.
            trust_code: Take it although its model brings programs along, which would be run here.

        Returns:
            The snapshot as it is in this store.

        Raises:
            BundleError: The file is damaged or not an export, its signature is wrong, or the name is taken; nothing was
                changed.

        Example:
            >>> exported = store.export_snapshot("v1@1", "v1.bundle")
            >>> store.import_snapshot("v1.bundle").ref
            'v1@1'
        """
        return self._parts.bundles.import_(Path(path), name, require_signature=require_signature, trust_code=trust_code)

    def tag(self, name: str, ref: str) -> None:
        """Give a snapshot a name. A tagged snapshot is kept by every prune.

        Args:
            name: The tag. One that exists moves.
            ref: `PAIR@N`, `PAIR` or another tag.

        Raises:
            UnknownNameError: There is no such snapshot.

        Example:
            >>> store.tag("before-the-fair", "v1@1")
        """
        self._catalog.pairs.set_tag(name, self._catalog.pairs.find_snapshot(ref))

    def tags(self) -> dict[str, str]:
        """List tags.

        Returns:
            Tag -> snapshot, as `PAIR@N`.

        Example:
            >>> store.tag("before-the-fair", "v1@1")
            >>> store.tags()
            {'before-the-fair': 'v1@1'}
        """
        return {name: str(SnapshotRef(*target)) for name, target in self._catalog.pairs.tags().items()}

    def untag(self, name: str) -> None:
        """Take a tag away. Its snapshot stays until a prune.

        Args:
            name: The tag.

        Raises:
            UnknownNameError: There is no such tag.

        Example:
            >>> store.tag("before-the-fair", "v1@1")
            >>> store.untag("before-the-fair")
        """
        self._catalog.pairs.delete_tag(name)

    def delete_snapshot(self, ref: str) -> None:
        """Forget a snapshot. Its files go with the next prune.

        Args:
            ref: `PAIR@N` or a tag.

        Raises:
            UnknownNameError: There is no such snapshot.
            PairStateError: An alias, a tag or its own pair still needs it.

        Example:
            >>> newer = store.snapshot("v1")
            >>> store.delete_snapshot("v1@1")
        """
        self._catalog.pairs.delete_snapshot(self._catalog.pairs.find_snapshot(ref))

    # -- serving ------------------------------------------------------------------------------------------------------

    def searcher(self, *, alias: str = LIVE, follow: bool = True) -> Searcher:
        """Open a searcher for a service. It follows the alias, keeps live and standby loaded, and acknowledges moves.

        Args:
            alias: The alias to follow.
            follow: Follow it in the background. False leaves that out, for one-off queries.

        Returns:
            The searcher. Close it, or use it with `with`.

        Example:
            >>> with store.searcher() as searcher:
            ...     searcher.search("green tea", k=1).hits[0].id
            'tea'
        """
        from vecrollback.serving.searcher import Searcher

        return Searcher(self.resources, alias=alias, follow=follow, keep=self._parts.keep_vectors)

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
        by: PromotedBy | None = None,
        embedder: str | None = None,
        per_query: int = MOST_A_QUERY,
        per_second: int = MOST_A_SECOND,
    ) -> Switched:
        """Let a pair serve: catch it up, check it, judge its gates and the way back, have every searcher load it, move.

        Args:
            pair: The pair, or its name.
            reason: Why, for the history.
            override: Pass what would refuse; needs a reason. It never passes a model that cannot be loaded.
            progress: Called after every batch of the catch-up.
            wait: Seconds to wait for searchers to acknowledge the move.
            actor: Who orders it. Default: the store's actor.
            by: "cascade" lets a pair serve that is not built yet, once it was tried: the live pair names candidates,
                the new model ranks them, and what queries touch is embedded first. `catch_up`, or a worker, builds on.
            embedder: Of a cascade, the model of a pair that is not there yet, as for `reembed`.
            per_query: Of a cascade, texts that one query may have embedded.
            per_second: Of a cascade, texts that one searcher may embed in a second.

        Returns:
            The move, with its check, its gates, and how the searchers followed.

        Raises:
            PairStateError: The pair is not built, or serves already, or a searcher could not load it.
            QuarantinedError: It was rolled back from.
            CheckRefusedError: The check did not pass.
            GateRefusedError: A gate, or the way back, did not pass; the error lists each. A cascade was not shown to be
                better than the live pair.

        Example:
            >>> store.promote("v1", reason="it was better").target
            'v1@1'
        """
        if by not in (None, "cascade"):
            raise UsageError(f"by is {by!r}", hint="'cascade', or leave it out")
        self.gates.sampling()  # a typo in a gate is told before anything is embedded
        record = self._registered(pair, embedder) if by == "cascade" and embedder is not None else self.pair(pair)
        request = MoveRequest(reason, actor or self.actor, override, wait)
        if by == "cascade" and not self._parts.builder.is_whole(record):
            return self._promote_by_cascade(record, request, (per_query, per_second), progress)
        self._parts.switch.gate(record, request)
        # Read before the catch-up: while somebody writes, no pair reaches the newest change (see `GateEvidence.lag`).
        head = self.resources.catalog.ledger.state().head
        if self.lag(record):
            self.catch_up(record, progress=progress)
        late = partial(self.catch_up, advance=False, progress=progress)
        switched = self._gated(record, request, head=head, late=late, progress=progress)
        trouble = self._learn_bridges(switched)
        return self._with_warning(replace(switched, threshold=self._offered_threshold(switched)), trouble)

    def _gated(
        self,
        record: Pair,
        request: MoveRequest,
        *,
        head: int,
        late: Callable[[Pair], CatchUp] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Switched:
        """Check a pair, judge its gates, and let it serve. `head`: of the log before its catch-up began.

        `late`: takes in what was written during the check and the gates; the snapshot stays the one that they saw.
        """
        sampling = self.gates.sampling()
        report = self.check(record, bound=sampling.bound, confidence=sampling.confidence, progress=progress)
        record = self.pair(record)
        if request.override:
            self.resources.embedders.of(record)  # no reason is good enough for a pair whose queries would all fail
        self._parts.switch.gate(record, request, report)
        request = self.gates.passed(record, request, head=head)
        if late is not None and self.lag(record):
            late(record)
            record = self.pair(record)
        return replace(self._parts.switch.promote(record, report, request), report=report)

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
        approval: int | None = None,
    ) -> Switched:
        """Move model and index back together. Then, while the older pair serves, catch it up and check it.

        The move itself needs nothing that may be broken: not the pair that fails, nor its model, nor the network.

        Args:
            to: The pair to go back to, or its name. Default: the last pair that served and is fit.
            reason: Why, for the history and the incident.
            override: Go back to `to` although it is quarantined, did not pass its last check, or never served.
            catch_up: Catch up and check afterwards, see `prove`. False only moves.
            progress: Called after every batch of the catch-up.
            wait: Seconds to wait for searchers to acknowledge the move.
            expected_epoch: Epoch of `live` when this was decided. None decides on what is found.
            actor: Who orders it. Default: the store's actor.
            trigger: What was measured, for the incident.
            approval: Number of a request for this move; it ends with the move, or nothing moves.

        Returns:
            The move. What went wrong after it is told in `trouble`; the move stands.

        Raises:
            NoRollbackTargetError: No pair is fit to go back to; the error says why of each. Nothing moved.
            AliasMovedError: Somebody has moved `live` since `expected_epoch`. Nothing moved.

        Example:
            >>> moved = store.rollback(reason="worse answers")
            >>> moved.source, moved.target, moved.report.verdict
            ('v2@1', 'v1@1', 'pass')
        """
        name = to.name if isinstance(to, Pair) else to
        # Before the move, so that the incident shows how long it took from the decision.
        decision_time, who = now(), actor or self.actor
        request = MoveRequest(reason, who, override, wait, expected_epoch=expected_epoch, approval=approval)
        moved = self._parts.switch.rollback(name, request)
        outcome = self.incidents.open(moved, decided=decision_time, trigger=trigger)
        return self.prove(outcome, progress) if catch_up else self._with_warning(outcome)

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
        planned: bool = False,
        override: bool = False,
    ) -> Switched:
        """Let one exact snapshot serve. What was deleted since it was taken stays deleted.

        Args:
            ref: `PAIR@N` or a tag.
            reason: Why, for the history and the incident.
            catch_up: Catch up and check afterwards, see `prove`. False only moves.
            progress: Called after every batch of the catch-up.
            wait: Seconds to wait for searchers to acknowledge the move.
            actor: Who orders it. Default: the store's actor.
            expected_epoch: Epoch of `live` when this was decided. None decides on what is found.
            approval: Number of a request for this very snapshot to which the people needed have agreed.
            planned: Nothing is wrong with what is left: the incident says so, and none of its answers counts as bad.
            override: Serve it although its model did not answer when it was asked lately.

        Returns:
            The move. What went wrong after it is told in `trouble`; the move stands.

        Raises:
            UnknownNameError: There is no such snapshot.
            PairStateError: Its model did not answer when it was asked lately.
            ApprovalNeededError: The policy wants others to agree; the request was made.
            AliasMovedError: Somebody has moved `live` since `expected_epoch`. Nothing moved.

        Example:
            >>> store.restore("v1@1", reason="as it was on Monday").target
            'v1@1'
        """
        from vecrollback.switching.policy import Policy, load_policy

        decision_time, who = now(), actor or self.actor
        request = MoveRequest(reason, who, override, wait, expected_epoch=expected_epoch, approval=approval)
        if approvals := (load_policy(self.root) or Policy()).authority.restore_approvals:
            how = {"override": override, "planned": planned}
            self.approvals.require(ref, reason, actor=who, needed=approvals, approval=approval, **how)
        outcome = self.incidents.open(self._parts.switch.restore(ref, request), decided=decision_time, planned=planned)
        return self.prove(outcome, progress) if catch_up else self._with_warning(outcome)

    def plan_restore(self, ref: str) -> RestorePlan:
        """Tell what `restore` would do now: what would serve, how old it is, who has to agree. Moves nothing.

        Args:
            ref: `PAIR@N` or a tag.

        Returns:
            The plan.

        Raises:
            UnknownNameError: There is no such snapshot.

        Example:
            >>> store.plan_restore("v1@1").target
            'v1@1'
        """
        from vecrollback.switching.policy import Policy, load_policy

        approvals = (load_policy(self.root) or Policy()).authority.restore_approvals
        return replace(self._parts.switch.plan_restore(ref), approvals=approvals)

    def on_move(self, call: Callable[[Switched], None]) -> None:
        """Have a function called with every move of `live` that this store object makes, whoever ordered it.

        Args:
            call: Takes the move, before its catch-up and check, beside those that were given before. What it raises is
                logged; the move stands. Of moves that other processes make, `cache_key` of a result tells.

        Example:
            >>> epochs = []
            >>> store.on_move(lambda moved: epochs.append(moved.epoch))
            >>> moved = store.rollback(reason="worse answers")
            >>> epochs == [moved.epoch]
            True
        """
        self._parts.switch.listen(call)

    def prove(self, switched: Switched, progress: ProgressCallback | None = None) -> Switched:
        """Catch up and check what a move let serve, and complete its incident. The move stands whatever happens here.

        `rollback` and `restore` end with this, unless they were told only to move.

        Args:
            switched: The move.
            progress: Called after every batch. An exception that it raises ends the work there, and is told like any
                trouble.

        Returns:
            The move with `caught_up`, `report` and `warning`. What went wrong is told in `trouble`, here and in the
            incident.

        Example:
            >>> moved = store.rollback(reason="worse answers", catch_up=False)
            >>> store.prove(moved).report.verdict
            'pass'
        """
        self._require_open()  # what goes wrong from here on is written into the answer
        pair = SnapshotRef.parse(switched.target).pair
        try:
            caught_up = self._catch_up_after(pair, switched, progress)
            switched = replace(switched, caught_up=caught_up)
            switched = replace(switched, report=self.check(pair, progress=progress))
        except (VecrollbackError, OSError) as error:
            switched = replace(switched, trouble="; ".join(filter(None, (switched.trouble, str(error)))))
        return self._with_warning(self.incidents.settle(switched))

    def expect_rollback(self) -> None:
        """Get ready for a rollback that may come: the helper loads the model of the pair that it would go to.

        Returns at once, moves nothing, and does nothing where no helper is needed or no pair is fit. A policy calls it
        with the first measurement that failed, so that the proof after its rollback need not wait for a model.

        Example:
            >>> store.expect_rollback()
        """
        from vecrollback.store.helper import load_aside

        load_aside(self._parts, lambda: self.rollback_target().pair)

    def rollback_target(self, to: str | None = None, *, override: bool = False) -> Snapshot:
        """Tell where a rollback would go now. Moves nothing.

        Args:
            to: Name of the pair to go back to. Default: the last pair that served and is fit.
            override: Consider `to` although it is quarantined, did not pass its last check, or never served.

        Returns:
            The snapshot that would serve.

        Raises:
            NoRollbackTargetError: No pair is fit; the error says why of each.

        Example:
            >>> store.rollback_target().ref
            'v1@1'
        """
        return self._parts.switch.target(to, override=override)

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
        """Agree to a move that waits for people. The last person who is needed makes the move.

        Args:
            number: The request, as `approvals.all` lists it.
            reason: Why, kept with the request.
            catch_up: Catch up and check after the move, see `prove`.
            progress: Called after every batch of the catch-up.
            wait: Seconds to wait for searchers to acknowledge the move.
            actor: Who agrees. Default: the store's actor.

        Returns:
            The request as it is now, and the move if this was the last word needed.

        Raises:
            UnknownNameError: There is no such request.
            UsageError: It does not wait any more, or this person has agreed already.
            AliasMovedError: Somebody has moved `live` since it was asked for; the request has expired.

        Example:
            >>> request = store.approvals.ask("rollback", None, reason="worse answers", actor="policy")
            >>> store.approve(request.number).switched.target
            'v1@1'
        """
        who = actor or self.actor

        def move(request: Approval) -> Switched:
            why = f"{request.reason} (request {number}, approved by {', '.join(request.approved_by)})"
            how: dict[str, Any] = {"reason": why, "catch_up": catch_up, "progress": progress, "wait": wait}
            how |= {"actor": who, "expected_epoch": request.epoch, "approval": number}
            if request.kind == "restore":
                how |= {"override": request.override, "planned": request.planned}
                return self.restore(str(request.target), **how)
            return self.rollback(request.target, trigger=request.trigger, **how)

        return self.approvals.approve(number, actor=who, reason=reason, move=move)

    def reject(self, number: int, *, reason: str, actor: str | None = None) -> Approval:
        """Refuse a move that waits for people.

        Args:
            number: The request, as `approvals.all` lists it.
            reason: Why, kept with the request.
            actor: Who refuses. Default: the store's actor.

        Returns:
            The request as it is now.

        Raises:
            UnknownNameError: There is no such request.
            UsageError: It does not wait any more.

        Example:
            >>> request = store.approvals.ask("rollback", None, reason="worse answers", actor="policy")
            >>> store.reject(request.number, reason="they are not").state
            'rejected'
        """
        return self.approvals.reject(number, actor=actor or self.actor, reason=reason)

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
        on_waiting: Callable[[], None] = lambda: None,
    ) -> WatchRound:
        """Watch `live` by a policy, asking it queries, and do what the policy says. A server does so by itself.

        Several watches of one store do no harm: one leads, another one takes over when it ends.

        Args:
            queries: What to ask. Default: the golden queries.
            policy: The policy's file. Default: `[policy]` in `vecrollback.toml`.
            rounds: End after so many. Default: watch until `stopping`.
            stopping: Is asked between two rounds whether to end.
            on_reading: Called with every measurement, as `vecrollback policy replay` reads it.
            on_decision: Called with every decision that is not "nothing".
            on_waiting: Called when another process is found to watch, and this one begins to wait for its end.

        Returns:
            Rounds, decisions, and how each metric stood at the end.

        Raises:
            UsageError: There is no policy, or no query.
            LockHeldError: Another process watches, and `rounds` are to be counted.

        Example:
            >>> from pathlib import Path
            >>> _ = Path("policy.toml").write_text("metric = [{source = 'health'}]")
            >>> store.watch(["green tea"], policy="policy.toml", rounds=1).metrics
            {'health': 'inconclusive'}
        """
        from vecrollback.store.automation.watch import watch_store

        texts = [query.text for query in self.golden.list()] if queries is None else queries
        return watch_store(
            self,
            policy,
            texts,
            rounds=rounds,
            stopping=stopping,
            on_reading=on_reading,
            on_decision=on_decision,
            on_waiting=on_waiting,
        )

    @aside
    def drill(self, chaos: str = "", *, policy: Policy | None = None, actor: str | None = None) -> Drill:
        """Rehearse the whole rollback with real searchers and real files, beside what serves, and record how it went.

        Args:
            chaos: What to break on purpose, in a copy of the store: `files-gone`, `model-unloadable`, `catalog-slow`,
                `searcher-hung`, `foreign-vectors`, `disk-full`, or `bad-pair`: a pair that answers badly, against which
                the store's policy has to decide. Default: nothing.
            policy: Its objectives are what each step is timed against. Default: the store's policy.
            actor: Who orders it. Default: the store's actor.

        Returns:
            The drill, step by step. Its verdict is `pass` if every step did what it had to within its objective, and
            `unknown` if there is nothing to rehearse yet.

        Raises:
            UsageError: There is no such kind of chaos.

        Example:
            >>> store.drill().verdict
            'pass'
        """
        from vecrollback.store.automation.drills import StoreOpener, run_drill

        opener = StoreOpener(connect, (sys.executable, "-m", "vecrollback.store"))
        return run_drill(self, opener, chaos, policy=policy, actor=actor)

    def drills(self, *, limit: int | None = None) -> list[Drill]:
        """List the drills that were run.

        Args:
            limit: At most so many.

        Returns:
            The drills, newest first.

        Example:
            >>> store.drills()
            []
        """
        return self._catalog.drills.all(limit=limit)

    def runbook(self, server: str = "") -> str:
        """Write the runbook of this very store: how it stands, what to type, objectives, the last drill, whom to call.

        Args:
            server: Where the store is served, `https://...`, to be named on the page.

        Returns:
            The runbook as Markdown. Commands stand in blocks marked `sh`, and can be typed as they are.

        Example:
            >>> store.runbook().splitlines()[0]
            '# Runbook: notes'
        """
        from vecrollback.store.automation.runbook import write_runbook

        return write_runbook(self, server)

    # -- proof --------------------------------------------------------------------------------------------------------

    @aside
    def check(
        self,
        pair: PairLike | None = None,
        level: Level = "full",
        *,
        bound: float = 0.01,
        confidence: float = 0.95,
        sample: int | None = None,
        seed: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> Report:
        """Check a pair against the log. The report is kept, but for a quick check that passes.

        Args:
            pair: The pair, or its name. Default: the live one.
            level: `quick` looks at the catalog and at which files are there. `full` reads everything, and embeds a
                random sample again.
            bound: The sample is large enough to certify at most this share of foreign vectors, from 0 to 1.
            confidence: Of that certificate, from 0 to 1.
            sample: Embed so many chunks again, whatever the bound.
            seed: Of the sample; None draws anew.
            progress: Called after every batch. An exception that it raises ends the check there; no report is kept.

        Returns:
            Verdict, findings, and the certificate.

        Raises:
            UnknownNameError: There is no such pair, or none is live.
            PairStateError: The pair has no snapshot yet.

        Example:
            >>> store.check("v1").verdict
            'pass'
        """
        from vecrollback.quality.check import Sampling

        sampling = Sampling(bound, confidence, sample, seed)
        report = self._parts.checker.run(self._or_live(pair), level, sampling, progress)
        if level == "full" or report.verdict != "pass":  # a quick pass must not hide what a full check found
            self._catalog.reports.add(report)
        return report

    @aside
    def audit(
        self, pair: PairLike | None = None, *, progress: ProgressCallback | None = None, **asking: Unpack[AuditOptions]
    ) -> Report:
        """Check a pair, and search it for vectors that its embedder did not make.

        Args:
            pair: The pair, or its name. Default: the live one.
            progress: Called after every batch.
            **asking: `suspects`, pairs or embedder strings whose vectors to look for, default other pairs of the store;
                `budget`, texts to embed at most, a number or a share such as "2%"; `bound` and `confidence` of the
                certificate, default 0.001 and 0.99; `seed`.

        Returns:
            The report, with every foreign vector that was found.

        Raises:
            UnknownNameError: There is no such pair, or none is live.

        Example:
            >>> store.audit("v1", seed=1).findings
            ()
        """
        return self._parts.auditor.run(self._or_live(pair), asking, progress)

    def report(self, pair: PairLike) -> Report | None:
        """Read what the newest kept check of a pair said.

        Args:
            pair: The pair, or its name.

        Returns:
            The report; None when the pair was never checked.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> store.report("v2").verdict
            'pass'
        """
        return self._catalog.reports.newest(self.pair(pair).name)

    def status(self) -> dict[str, Json]:
        """Describe the store by one reading of its catalog. Loads no model and opens no table.

        Returns:
            `store`, `catalog`, `alias`, `corpus`, `pairs` with their lag and last verdict, `searchers`, unfinished
            `jobs`, and `setback`, a sentence if the catalog went back in time; as plain JSON values.

        Example:
            >>> store.status()["alias"]["live"]
            {'pair': 'v2', 'snapshot': 1, 'epoch': 2}
        """
        return {"store": self._parts.file_store.uri, "catalog": self._catalog.place} | describe(self._catalog)

    def situation(self, status: Mapping[str, Json] | None = None) -> Situation:
        """Tell how everything stands: a line for each of live, way back, policy, incidents, storage and so on.

        `status`, the server, the dashboard, `/metrics` and the runbook all tell this. It loads no model, opens no table
        and changes nothing. What cannot be looked at is `unknown` and says why; it raises nothing for that.

        Args:
            status: What `status` gave a moment ago, so that it need not be read again.

        Returns:
            The lines, each with its state, a sentence and the next command; and the verdict, which is `Well` only if
            every line is.

        Example:
            >>> store.situation().line("way back").sentence
            'a rollback goes to v1@1, up to date'
        """
        from vecrollback.store.situation import read_situation

        return read_situation(self._parts, status)

    def installation(self) -> tuple[SituationLine, ...]:
        """Examine what this machine needs to serve the store and to roll it back. Asks the models, which loads them.

        Returns:
            A line for the model of each pair that serves or stands by, for memory, worker, clock, file system and
            storage, each with its state, a sentence and the command that mends it.

        Example:
            >>> [line.name for line in store.installation() if line.state == "alert"]
            []
        """
        from vecrollback.store.automation.installation import examine_installation

        return examine_installation(self)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _let_first_pair_serve(self, embedder: str) -> None:
        with self._catalog.lock("first-pair"):
            if not self.pairs():
                self.promote(self.reembed(embedder).wait(), reason="the first pair of this store")

    def _or_live(self, pair: PairLike | None) -> Pair:
        return self.live() if pair is None else self.pair(pair)

    def _with_warning(self, switched: Switched, trouble: str = "") -> Switched:
        return replace(switched, warning="; ".join(filter(None, (self.freezes.warning(), trouble))))
