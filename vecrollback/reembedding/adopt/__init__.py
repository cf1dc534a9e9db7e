"""Bringing an index that exists elsewhere in as a pair, without embedding again what an audit shows to be the model's.

Its documents enter the log; what was written or deleted here stays as the log has it. Once more for the same pair it
is a sync: what the source has changed, added or lost since is taken. Its vectors go to a table beside
the pair's, under the content hash of their texts, and the loop that builds every pair takes finished vectors from it.
So what follows is what `reembed` does: whatever is not in that table, because its vector is foreign or damaged, or
because the model splits its text into other chunks, is embedded. A run that was cut off, started again, goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecrollback.embedders import Embedder
from vecrollback.embedders.probes import floor_for
from vecrollback.errors import BadDocumentError, CheckRefusedError, FingerprintMismatchError, UsageError, refuse_unknown
from vecrollback.pairs.backend import open_backend, remember
from vecrollback.pairs.backends.borrowed_points import BorrowedPoints
from vecrollback.pairs.backends.pgvector.in_place import InPlaceBackend
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.vectors import Giver, Vectors
from vecrollback.quality.doctor import Examination, ExaminationRequest, ForeignIndex, examine_source
from vecrollback.quality.doctor.examination import BOUND, CONFIDENCE
from vecrollback.quality.purity import AuditResult
from vecrollback.records import RECALL_FLOOR, Pair
from vecrollback.records.arrays import cosines
from vecrollback.reembedding.adopt.intake import Counts, Intake
from vecrollback.reembedding.adopt.outcome import AdoptOptions, AdoptResult
from vecrollback.reembedding.builder import Builder, pair_name
from vecrollback.reembedding.builder import BuildRequest as BuildRequest
from vecrollback.reembedding.dispatch import EmbedCounts
from vecrollback.reembedding.jobs import Job, Reporter
from vecrollback.reembedding.refresher import Refresher

__all__ = ["AdoptOptions", "AdoptResult", "Adopter"]

_POINTS = ("qdrant", "chroma", "milvus", "lancedb")
_COMPARED = 64
_FEW = 0.1
"""Share of compared vectors that may be foreign without the storage being to blame."""
_STRETCHED = 0.01


@dataclass(frozen=True, slots=True)
class Adopter:
    """Adopts sources into one store."""

    resources: Resources
    builder: Builder

    def run(self, place: str, model: str, options: AdoptOptions) -> AdoptResult:
        """Audit, then write documents, vectors and a snapshot.

        Raises FingerprintMismatchError when the vectors are not the model's, CheckRefusedError when the audit could not
        show that they are, UsageError for a source that cannot be documents; then nothing was written.
        """
        refuse_unknown("adopt", options, AdoptOptions, "model")
        texts = options.get("texts")
        with ForeignIndex(place, texts=Path(texts) if texts else None, fields=options.get("fields")) as source:
            if source.id_field is None:
                there = ", ".join(source.connector.fields) or "none"
                raise UsageError(f"{source.place} has no ids", hint=f"--id-field names a field; there: {there}")
            examination = self._examine(source, model, options)
            name_and_settings = options.get("name"), options.get("settings")
            request = BuildRequest(model, options.get("index", "auto"), *name_and_settings)
            if options.get("in_place", False):
                request = self._in_place(place, source, request)
            pair = self.builder.begin(request)
            record = self.resources.catalog.jobs.start("adopt", pair.name)
            adopt = _Adoption(self, source, examination, pair, record.id, options).run
            return Job(self.resources.catalog, record, adopt).wait()

    def _in_place(self, place: str, source: ForeignIndex, request: BuildRequest) -> BuildRequest:
        """The request for a pair over the source itself. Raises UsageError where that cannot be."""
        kind, _, rest = place.partition(":")
        address, mark, collection = rest.rpartition("#")
        in_postgresql = kind.startswith("postgres")
        if not mark or not (in_postgresql or kind in _POINTS):
            raise UsageError(
                f"the vectors in {source.place} cannot stay there",
                hint="--in-place is for a table of PostgreSQL or LanceDB, a collection of Qdrant, Chroma or Milvus",
            )
        embedder = self.resources.embedders.current(request.embedder)
        name = request.name or pair_name(self.resources.catalog, embedder.spec, embedder)
        there = self.resources.catalog.pairs.find(name)
        if there is not None and there.state != "building":
            raise UsageError(
                f"pair {name!r} has its vectors in {source.place} already",
                hint="to take what changed there, adopt it in place under another --name, and promote that pair: what "
                "has its vector there is not embedded",
            )
        own = "vecrollback_" + re.sub(r"\W+", "_", name, flags=re.ASCII)
        if in_postgresql:
            schema = collection.rpartition(".")[0]
            address, kind, own = f"postgresql:{address}", "pgvector", f"{schema}." * bool(schema) + own
        fields = f"{source.id_field},{source.connector.facts.get('vector_field', '')}"
        backend = f"{kind}:{address}#{own}<{collection}({fields})"
        opened = open_backend(remember(backend))
        assert isinstance(opened, InPlaceBackend | BorrowedPoints)
        opened.require_lender()
        return replace(request, name=name, backend=backend)

    def _examine(self, source: ForeignIndex, model: str, options: AdoptOptions) -> Examination:
        bound = options.get("bound") or BOUND
        request = ExaminationRequest(
            model,
            suspects=options.get("suspects", ()),
            budget=options.get("budget"),
            bound=bound,
            confidence=options.get("confidence", CONFIDENCE),
            seed=options.get("seed"),
        )
        examination = examine_source(source, request, options.get("progress"), open_model=self.resources.embedders.open)
        _check_ids(examination)
        assert examination.audit is not None
        _check_model(examination, examination.audit)
        _check_fidelity(source, self.resources.embedders.open(model), examination.audit)
        _check_proof(examination.audit, bound)
        return examination


@dataclass(frozen=True, slots=True)
class _Adoption:
    """One run, after the audit."""

    parts: Adopter
    source: ForeignIndex
    examination: Examination
    pair: Pair
    job: str
    options: AdoptOptions

    def run(self) -> AdoptResult:
        audit = self.examination.audit
        assert audit is not None
        doubts = np.zeros(self.source.count, np.bool_)
        not_examined = [row for one in audit.not_examined for row in one.rows]
        doubts[[*audit.rows, *not_examined]] = True
        with self.parts.resources.catalog.lock("adopt"), self.parts.resources.artifacts.workspace(".adopt") as folder:
            counts, proven_vectors = self._take_in(doubts, folder)
            tally = self._fill(proven_vectors)
        if self.options.get("in_place", False):
            # PostgreSQL builds an index beside others only once transactions that began before have ended: ours too
            self.source.connector.close()
        self._finish(counts)
        return AdoptResult(
            pair=self.pair.name,
            documents=counts.documents,
            known=counts.documents - counts.taken.new,
            changed=counts.taken.changed,
            left=counts.taken.left,
            gone=counts.gone,
            reused=tally.reused,
            embedded=tally.embedded,
            foreign=len(audit.rows),
            damaged=counts.damaged + len(not_examined),
            split=counts.split,
            left_out=counts.left_out,
            examination=self.examination,
        )

    def _take_in(self, doubts: NDArray[np.bool_], folder: Path) -> tuple[Counts, tuple[Vectors, int]]:
        report = self._reporter("writing documents")
        embedder = self.parts.resources.embedders.of(self.pair)

        def count(counts: Counts) -> None:
            report(EmbedCounts(documents=counts.documents + counts.left_out, total=self.source.count))

        intake = Intake(
            self.source,
            self.parts.resources.corpus,
            # pairs over one table share what they were adopted from; elsewhere a pair is what a sync is for
            self.source.place if self.options.get("in_place", False) else self.pair.name,
            embedder,
            doubts,
            skip_bad=self.options.get("skip_bad", False),
            on_batch=count,
        )
        vectors = intake.run(folder)
        intake.delete_gone(override=self.options.get("override", False))
        return intake.counts, vectors

    def _fill(self, proven_vectors: tuple[Vectors, int]) -> EmbedCounts:
        """Bring the pair to the head of the log, taking what is on the shelf."""
        parts = self.parts.resources
        with parts.catalog.lock(f"pair-{self.pair.name}"):
            pair = parts.catalog.pairs.get(self.pair.name)
            refresher = Refresher(
                parts.catalog,
                parts.corpus,
                parts.vectors_of(pair),
                parts.embedders.of(pair),
                pair,
                others=lambda: [Giver(*proven_vectors)],
                on_batch=self._reporter("embedding"),
                probes=parts.embedders.batch_probes(pair),
                job=self.job,
            )
            return refresher.run()

    def _finish(self, counts: Counts) -> None:
        """Build index and snapshot; of a pair that was finished before only what `catch_up` does."""
        progress = self.options.get("progress")
        if self.parts.resources.catalog.pairs.get(self.pair.name).state != "building":
            self.parts.builder.catch_up(self.pair, self.job, progress)
            return
        self.parts.builder.build(self.pair, self.job, progress, RECALL_FLOOR)
        reason = f"adopted from {self.source.place}, {counts.documents:,} documents"
        self.parts.resources.catalog.pairs.set_state(self.pair.name, "ready", reason)

    def _reporter(self, phase: str) -> Reporter:
        reporter = Reporter(self.parts.resources.catalog, self.job, self.options.get("progress"))
        reporter.phase = phase
        return reporter


def _check_ids(examination: Examination) -> None:
    if duplicates := examination.finding("duplicate_id"):
        examples = ", ".join(dict.fromkeys(duplicates.ids[:6]))
        raise BadDocumentError(
            f"{duplicates.count:,} rows share their id with another: {examples}",
            source=examination.source,
            hint="give every row an id of its own, or name the field that has one with --id-field",
        )


def _check_model(examination: Examination, audit: AuditResult) -> None:
    """Refuse vectors most of which are another model's, and those that do not show whose they are."""
    if audit.stopped == "lossy":
        reason = audit.power.lacks if audit.power and audit.power.lacks else "nothing in them can be compared"
        raise CheckRefusedError(
            f"{examination.source} keeps its vectors as {audit.storage}, which do not show what made them: {reason}",
            hint="adopt the vectors as they were embedded; or `vecrollback ingest` the texts and `vecrollback reembed`",
        )
    share = f"{len(audit.rows):,} of {audit.examined:,} vectors compared are foreign"
    if audit.stopped == "refuted" or 2 * len(audit.rows) > max(1, audit.examined):
        raise FingerprintMismatchError(
            f"{examination.model} did not make the vectors in {examination.source}: {share}",
            hint="name the model that did; or `vecrollback ingest` the texts and `vecrollback reembed`",
        )


def _check_proof(audit: AuditResult, bound: float) -> None:
    """Refuse what the audit does not show to be the model's, but for the vectors it named."""
    if audit.certificate.population and audit.certificate.bound > bound:
        raise CheckRefusedError(
            f"up to {audit.certificate.bound:.2%} of the vectors that were not embedded again may be foreign, "
            f"more than {bound:.2%}",
            hint="raise --budget, or --bound if that will do",
        )


def _check_fidelity(source: ForeignIndex, embedder: Embedder, audit: AuditResult) -> None:
    """Refuse vectors that stand for the model's own only roughly: a check of the pair would find them foreign.

    The audit forgives what the storage rounds, and looks at directions alone.
    """
    left_out = [*audit.rows, *(row for one in audit.not_examined for row in one.rows)]
    rows = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(source.count), left_out))[:_COMPARED]
    texts_and_rows = [
        (text, row) for text, row in zip(source.texts(rows), rows.tolist(), strict=True) if text and text.strip()
    ]
    if not texts_and_rows:
        return
    source_vectors = source.vectors(np.array([row for _, row in texts_and_rows]))
    model_vectors = embedder.embed_documents([text for text, _ in texts_and_rows])
    lengths = np.linalg.norm(source_vectors, axis=1), np.linalg.norm(model_vectors, axis=1)
    near = cosines(source_vectors, model_vectors)
    if not np.quantile(near, _FEW) >= floor_for(embedder):
        raise CheckRefusedError(
            f"{source.place} keeps its vectors as {audit.storage}, too coarse to stand for the model's own: cosine "
            f"{np.median(near):.5f}",
            hint="adopt the vectors as they were embedded; or `vecrollback ingest` the texts and `vecrollback reembed`",
        )
    stretch = float(np.median(np.abs(lengths[0] / lengths[1] - 1)))
    if embedder.metric != "cosine" and stretch > _STRETCHED:
        raise FingerprintMismatchError(
            f"the vectors in {source.place} have other lengths than {embedder.spec} gives them, by {stretch:.0%}",
            hint="they were scaled: open the model with metric=cosine",
        )
