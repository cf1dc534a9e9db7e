"""Building a pair from the log, catching one up, rewriting what a check found, and taking snapshots.

All writers of a pair's vectors hold its lock, so that one process at a time writes them; readers need no lock.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vecrollback.catalog import NAME_RULE, Catalog, now, valid_pair_name, vectors_table
from vecrollback.corpus.documents import content_hash
from vecrollback.embedders import Embedder
from vecrollback.embedders.probes import embed_probes, measured_floor
from vecrollback.errors import CorruptArtifactError, PairStateError, RefusedError, StoppedError, UsageError
from vecrollback.indexes import index_bytes, resolve_spec
from vecrollback.indexes.sharded import ShardsDone
from vecrollback.pairs.backend import open_backend, remember
from vecrollback.pairs.backend_vectors import BackendVectors
from vecrollback.pairs.bridges import Bridges
from vecrollback.pairs.compaction import Compactor
from vecrollback.pairs.embedders import put_probes
from vecrollback.pairs.givers import Gift
from vecrollback.pairs.manifest import CascadePart, Manifest, load_manifest
from vecrollback.pairs.native_clients import offer_search
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.snapshots import SnapshotWriter, require_files
from vecrollback.pairs.vectors import ChunkVectors, Giver, newest
from vecrollback.records import (
    RECALL_FLOOR,
    CatchUp,
    Document,
    Effort,
    Json,
    KeptModel,
    Pair,
    ProgressCallback,
    Snapshot,
)
from vecrollback.records.arrays import FloatArray
from vecrollback.reembedding.acceleration import RuntimeLog, choose_runtime
from vecrollback.reembedding.bridged_pairs import BridgedPairs
from vecrollback.reembedding.dispatch import PLAIN, EmbedCounts, Throttle
from vecrollback.reembedding.engines import EmbedderRecipe, check_setting, open_engine
from vecrollback.reembedding.growing_pairs import GrowingPairs, Workshop
from vecrollback.reembedding.jobs import Reporter
from vecrollback.reembedding.refresher import Refresher

_log = logging.getLogger(__name__)
_DELTA_LEAST, _DELTA_SHARE, _DEAD_SHARE = 2_000, 0.1, 0.3
_GROWING_SHARE = 0.5
"""Of a pair that is not whole: its index is built anew when it has grown so much, each time for half as many again."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """The arguments of a build. `keep_model` None: if it is not too large."""

    embedder: str
    index: str = "auto"
    name: str | None = None
    settings: Mapping[str, Json] | None = None
    recall_floor: float = RECALL_FLOOR
    keep_model: bool | None = None
    backend: str = ""


class Builder(GrowingPairs, BridgedPairs):
    """Writes pairs."""

    def __init__(self, resources: Resources) -> None:
        self._catalog, self._corpus, self._artifacts = resources.catalog, resources.corpus, resources.artifacts
        self._embedders, self._vectors_of = resources.embedders, resources.vectors_of
        self._compactor, self._bridges = Compactor(resources), Bridges(resources)
        self._disk = None if "://" in resources.file_store.uri else resources.root

    def begin(self, request: BuildRequest) -> Pair:
        """Find the pair a build is to make or to resume, or register it.

        Raises PairStateError when the name belongs to a pair of another embedder or index.
        """
        # The pair's name may come from the embedder, so the model is opened before the lock of that name is taken.
        embedder = self._embedders.current(request.embedder)
        request = replace(request, embedder=embedder.spec)
        if request.backend:
            request = replace(request, backend=remember(request.backend))
            open_backend(request.backend).specs(request.index)
        else:
            resolve_spec(request.index, 0)
        name = request.name or pair_name(self._catalog, request.embedder, embedder)
        if not valid_pair_name(name):
            raise UsageError(f"{name!r} is not a valid name for a pair", hint=NAME_RULE)
        with self._catalog.lock(f"pair-{name}"):
            pair = resumable_pair(self._catalog, name, request, embedder)
            if pair is None:
                return self._register(name, request, embedder)
            if self._embedders.kept.find(pair) is None and self._embedders.kept.wanted(embedder, request.keep_model):
                self._embedders.kept.keep(pair, embedder)
            return pair

    def build(
        self, pair: Pair, job: str, progress: ProgressCallback | None, recall_floor: float, effort: Effort = PLAIN
    ) -> Pair:
        """Embed what the pair lacks, build its index, take the first snapshot, and catch up. Resumes."""
        with self._catalog.lock(f"pair-{pair.name}"):
            pair = self._catalog.pairs.get(pair.name)
            if pair.state != "building":
                return pair
            with self._working(pair, job, progress, effort) as work:
                tally = self._refresh(pair, work).tally
                work.report.enter("indexing", tally)
                if not self.is_whole(pair):  # it has no index, or one of the little that it had
                    self._snapshot(
                        pair.name,
                        rebuild=True,
                        recall_floor=recall_floor,
                        on_shard=lambda number, shards: work.report.enter(
                            f"indexing: shard {number} of {shards}", tally
                        ),
                    )
                work.report.phase = "catching up"
                self._refresh(self._catalog.pairs.get(pair.name), work)
            self._catalog.pairs.set_state(pair.name, "ready")
            self._tidy(pair.name)
            return self._catalog.pairs.get(pair.name)

    def catch_up(
        self,
        pair: Pair,
        job: str,
        progress: ProgressCallback | None = None,
        *,
        advance: bool = True,
        effort: Effort = PLAIN,
    ) -> CatchUp:
        """Bring a pair to the head of the log with its own embedder.

        With `advance`, rows after the index or deleted ones past a threshold lead to a new index, and aliases that
        serve the pair move to that snapshot.
        """
        with self._catalog.lock(f"pair-{pair.name}"), self._working(pair, job, progress, effort) as work:
            before = self._catalog.pairs.get(pair.name)
            refresher = self._refresh(before, work)
            if self._lacks_nothing(pair.name) or (advance and self._needs_new_index(pair.name, before.watermark)):
                self._snapshot(pair.name, rebuild=True)
            self._tidy(pair.name)
        tally, head = refresher.tally, self._corpus.state().head
        return CatchUp(
            pair=pair.name,
            watermark=refresher.watermark,
            lag=head - refresher.watermark,
            documents=tally.documents,
            embedded=tally.embedded,
            reused=tally.reused,
            chunks=tally.chunks,
            seconds=tally.elapsed,
        )

    def take_in(self, pair: Pair, *, deadline: float, patience: float) -> None:
        """Bring a pair to the head of the log, for a writer who waits: no job, no new index, no longer than he does.

        `deadline`: on the clock of `time.monotonic`; what is embedded until then stays. `patience`: seconds for the
        pair's lock; raises LockHeldError after them.
        """

        def in_time(_: object) -> None:
            if time.monotonic() > deadline:
                raise StoppedError("the writer waits no longer")

        with self._catalog.lock(f"pair-{pair.name}", timeout=patience):
            pair = self._catalog.pairs.get(pair.name)
            with self._working(pair, "", in_time, PLAIN) as work:
                try:
                    self._refresh(pair, work)
                except StoppedError:
                    if time.monotonic() <= deadline:
                        raise  # somebody else's reason, such as a spend limit

    def take_over(self, pair: Pair, documents: Sequence[Document], vectors: FloatArray) -> None:
        """Write vectors that the pair's own embedder made elsewhere, one for each document, shape (n, dimension).

        Left to the next catch-up: documents that have changed since, and texts that the embedder splits.
        """
        embedder = self._embedders.of(pair)
        if pair.metric == "cosine":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        given: dict[bytes, ChunkVectors] = {}
        for document, vector in zip(documents, vectors, strict=True):
            text = document.text_for_model
            whole = (0, len(text))
            if vector.any() and list(embedder.chunk(text)) == [whole]:
                given[content_hash(text)] = ChunkVectors(np.array([whole], np.int32), vector[np.newaxis])
        with self._catalog.lock(f"pair-{pair.name}"), self._working(pair, "", None, PLAIN) as work:
            self._refresher(self._catalog.pairs.get(pair.name), work).take_over([d.key for d in documents], given)

    def rewrite(
        self,
        pair: Pair,
        ids: Sequence[str],
        job: str,
        progress: ProgressCallback | None = None,
        *,
        masked: Collection[str] = (),
    ) -> EmbedCounts:
        """Embed these documents again, superseding their vectors, and take a snapshot with a new index.

        Those that are `masked` are in no answer until their new vectors are written.
        """
        with self._catalog.lock(f"pair-{pair.name}"), self._working(pair, job, progress, PLAIN) as work:
            refresher = self._refresh(self._catalog.pairs.get(pair.name), work)
            tally = refresher.rewrite(ids, masked=masked)
            self._snapshot(pair.name, rebuild=True)
            return tally

    def snapshot(self, name: str, *, rebuild: bool = False) -> Snapshot:
        """Take a snapshot of a finished pair as it stands; without `rebuild` it shares the last one's index."""
        with self._catalog.lock(f"pair-{name}"):
            pair = self._catalog.pairs.get(name)
            if not pair.snapshot:
                raise PairStateError(f"pair {name!r} is {pair.state}", hint="finish it first: `vecrollback reembed`")
            return self._snapshot(name, rebuild=rebuild)

    def renew_probes(self, pair: Pair) -> None:
        """Write lost or damaged probe vectors again. Their name is their digest: only the very same bytes count."""
        embedder = self._embedders.open(pair.embedder)
        if embedder.fingerprint == pair.fingerprint:
            put_probes(self._artifacts, embed_probes(embedder))

    # -- steps --------------------------------------------------------------------------------------------------------

    def _require_room(self, index: str, dimension: int) -> None:
        """Raise RefusedError where vectors and index do not fit, with one chunk a document: the least there can be."""
        if self._disk is None:
            return
        documents = self._corpus.state().documents
        least = documents * (4 * dimension + index_bytes(resolve_spec(index, documents), dimension))
        free = shutil.disk_usage(self._disk).free
        if least > free:
            raise RefusedError(
                f"{documents:,} documents take at least {least / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB are free",
                hint="`vecrollback prune`, a smaller index such as SQ8, or --backend; `vecrollback plan` estimates it",
            )

    def _register(self, name: str, request: BuildRequest, embedder: Embedder) -> Pair:
        if not request.backend:
            self._require_room(request.index, embedder.dimension)
        # Before its first vector: from here on nothing that happens to the original changes the pair.
        kept = self._embedders.kept
        model = kept.put(name, embedder) if kept.wanted(embedder, request.keep_model) else None
        probes, floor = put_probes(self._artifacts, embed_probes(embedder)), measured_floor(embedder)
        pair = Pair(
            name=name,
            state="building",
            embedder=embedder.spec,
            fingerprint=embedder.fingerprint,
            contract=dict(embedder.contract),
            dimension=embedder.dimension,
            metric=embedder.metric,
            index_spec=request.index,
            settings=dict(request.settings or {}),
            snapshot=0,
            watermark=0,
            vectors_version=0,
            probes=probes,
            probe_floor=floor,
            created_at=now(),
            backend=request.backend,
        )
        taken = [one.name for one in self._catalog.pairs.all() if request.backend and one.backend == request.backend]
        if taken:
            raise PairStateError(
                f"{request.backend} holds pair {taken[0]!r}",
                hint="a collection holds one pair: another name after the #",
            )
        commit = self._vectors_of(pair).create()
        pair = replace(pair, vectors_version=commit.version)
        self._catalog.pairs.add(pair, commit.files, partial(self._require, pair, model), model)
        self._embedders.trust(pair, embedder)
        return pair

    def _require(self, pair: Pair, model: KeptModel | None) -> None:
        for name in (pair.probes, *([model.artifact] if model else [])):
            self._artifacts.expect(name)
        self._vectors_of(pair).files.require()

    @contextmanager
    def _working(self, pair: Pair, job: str, progress: ProgressCallback | None, effort: Effort) -> Iterator[Workshop]:
        """Set up what a job needs, and end its workers afterwards. Raises UsageError, EmbedderChangedError."""
        check_setting(effort.engine)
        report = Reporter(self._catalog, job, progress)
        embedder, choice = self._embedders.of(pair), None
        if effort.accelerate != "off":
            choice = choose_runtime(self._corpus, self._embedders, pair, effort, report)
        same = self._catalog.equivalences.of(pair.fingerprint)
        # A worker on another host may have the model where the pair names it, and not this host's copy of it.
        recipe = EmbedderRecipe(
            embedder.spec, same, effort.idle, choice.runtime if choice else None, others=(pair.embedder,)
        )
        runtime = RuntimeLog(self._catalog, pair.name, job, choice) if choice else None
        engine = open_engine(effort.engine, recipe, embedder)
        with ExitStack() as kept:
            kept.callback(engine.close)
            for other, _ in self._givers(pair):  # their vectors may be used again at any moment of the job
                kept.enter_context(self._catalog.reading(vectors_table(other.name)))
            yield Workshop(job, report, engine, Throttle(effort, report.look), runtime)

    def _refresh(self, pair: Pair, work: Workshop) -> Refresher:
        refresher = self._refresher(pair, work)
        refresher.run()
        self._hide_deleted(pair)
        return refresher

    def _refresher(self, pair: Pair, work: Workshop, *, answered: int = 0) -> Refresher:
        return Refresher(
            self._catalog,
            self._corpus,
            self._vectors_of(pair),
            self._embedders.of(pair),
            pair,
            others=partial(self._others, pair),
            on_batch=work.report,
            on_made=work.runtime or (lambda _: None),
            engine=work.engine,
            gate=work.throttle,
            probes=self._embedders.batch_probes(pair),
            job=work.job,
            answered=answered,
        )

    def _hide_deleted(self, pair: Pair) -> None:
        """Hide what was deleted from those who search the pair's database by themselves, should that have failed."""
        vectors = self._vectors_of(pair)
        if isinstance(vectors, BackendVectors):
            vectors.hide(self._catalog.ledger.tombstones())

    def _others(self, pair: Pair) -> list[Giver]:
        """Tables of pairs that this one can take from. Only sound ones: damage must not spread from pair to pair."""
        givers = [(Giver(self._vectors_of(one), one.vectors_version, gift), one) for one, gift in self._givers(pair)]
        digests = {one.name: self._catalog.files.of(vectors_table(one.name)) for _, one in givers}
        return [giver for giver, one in givers if giver.vectors.files.sound(one.vectors_version, digests[one.name])]

    def _givers(self, pair: Pair) -> list[tuple[Pair, Gift]]:
        """Those that give most first: whole texts before single chunks."""
        others = [one for one in self._catalog.pairs.all() if one.name != pair.name]
        gifts = [(one, gift) for one in others if (gift := self._embedders.gift(one, pair)) is not None]
        return sorted(gifts, key=lambda one: one[1].other_chunks)

    def _snapshot(
        self,
        name: str,
        *,
        rebuild: bool,
        recall_floor: float | None = None,
        on_shard: ShardsDone | None = None,
        cascade: CascadePart | None = None,
    ) -> Snapshot:
        pair = self._catalog.pairs.get(name)
        snapshots = self._catalog.pairs.snapshots(name)
        previous = self._previous(pair, rebuild=rebuild)
        if cascade is None and previous is not None and previous.cascade is not None and not self._lacks_nothing(name):
            cascade = previous.cascade
        floor = recall_floor or (previous.index.recall_floor if previous else RECALL_FLOOR)
        snapshot = SnapshotWriter(self._artifacts, self._vectors_of(pair), pair, on_shard).write(
            snapshots[-1].number + 1 if snapshots else 1,
            previous=previous,
            tombstones=self._catalog.ledger.tombstones(),
            files=self._catalog.files.of(vectors_table(name)),
            rebuild=rebuild,
            recall_floor=floor,
            cascade=cascade,
        )
        self._catalog.pairs.add_snapshot(
            snapshot, lambda: require_files(self._artifacts, snapshot, self._vectors_of(pair))
        )
        if pair.backend:
            offer_search(self._catalog, pair)
        return snapshot

    def _tidy(self, name: str) -> None:
        """Keep the table small. The job itself is done: damage that stands in the way is for a check to report."""
        try:
            self._compactor.tidy(name, after_write=True)
        except CorruptArtifactError as error:
            _log.warning("the vectors of %s are not merged: %s", name, error)

    def _previous(self, pair: Pair, *, rebuild: bool) -> Manifest | None:
        """The manifest that the new snapshot follows. A rebuild does without a damaged one: so damage is repaired."""
        try:
            return self._manifest(pair)
        except CorruptArtifactError:
            if rebuild:
                return None
            raise

    def _manifest(self, pair: Pair) -> Manifest | None:
        if not pair.snapshot:
            return None
        return load_manifest(self._artifacts, self._catalog.pairs.find_snapshot(pair.ref).manifest)

    def _needs_new_index(self, name: str, since: int = 0) -> bool:
        """Whether so many rows are outside the index, or dead in it, that a new index pays.

        `since`: the watermark before the changes of now; who asks without any wants to know it exactly.
        """
        pair = self._catalog.pairs.get(name)
        manifest = self._manifest(pair)
        if manifest is None:
            return False
        vectors, index = self._vectors_of(pair), manifest.index
        share = _DELTA_SHARE if manifest.cascade is None else _GROWING_SHARE
        if vectors.rows(pair.vectors_version) - index.rows > max(_DELTA_LEAST, share * index.chunks):
            return True
        if index.chunks <= _DELTA_LEAST:
            return False
        # To count the dead ones reads the keys of the whole table. So it is done when their number may have grown by a
        # sixteenth, not after every small write.
        changes = pair.watermark - manifest.watermark
        step = max(1, changes // 16)
        if since < pair.watermark and changes // step == (since - manifest.watermark) // step:
            return False
        keys = vectors.keys(pair.vectors_version)
        alive = np.count_nonzero(newest(keys, self._catalog.ledger.tombstones()) < index.rows)
        return bool(index.chunks - alive > max(_DELTA_LEAST, _DEAD_SHARE * index.chunks))


def pair_name(catalog: Catalog, spec: str, embedder: Embedder) -> str:
    """The name of a build that was given none: of the pair that this embedder has, else from its string."""
    for pair in catalog.pairs.all():
        if pair.fingerprint == embedder.fingerprint:
            return pair.name
    target = spec.partition("?")[0].rstrip("/").replace("\\", "/").rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", target).strip("-.")[:48] or "pair"
    return f"{name}-{embedder.fingerprint[:6]}" if catalog.pairs.find(name) else name


def resumable_pair(catalog: Catalog, name: str, request: BuildRequest, embedder: Embedder) -> Pair | None:
    """The pair of that name, if the request can go on with it; None when the name is free. Raises PairStateError."""
    pair = catalog.pairs.find(name)
    if pair is None:
        catalog.pairs.require_distinct(name)
        return None
    if embedder.fingerprint not in catalog.equivalences.of(pair.fingerprint):
        raise PairStateError(
            f"pair {name!r} belongs to embedder {pair.embedder!r} ({pair.fingerprint}), "
            f"not to {request.embedder!r} ({embedder.fingerprint})",
            hint="choose another --name: one pair, one embedder",
        )
    if request.index not in ("auto", pair.index_spec):
        raise PairStateError(
            f"pair {name!r} has index {pair.index_spec!r}, not {request.index!r}",
            hint="choose another --name; vectors of the same embedder are taken over, not embedded again",
        )
    if request.backend != pair.backend and (request.backend or not pair.snapshot):
        raise PairStateError(
            f"the vectors of pair {name!r} lie in {pair.backend or 'files'}, not in {request.backend or 'files'}",
            hint="choose another --name; vectors of the same embedder are taken over, not embedded again",
        )
    return pair
