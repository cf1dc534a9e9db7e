"""An examination from the first byte to the verdict: one pass without a model, then the audit with one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecrollback.embedders import Embedder, open_embedder
from vecrollback.embedders.probes import floor_for
from vecrollback.errors import CorruptArtifactError, EmbeddingError, UsageError
from vecrollback.quality.doctor import findings
from vecrollback.quality.doctor.alignment import shift_of
from vecrollback.quality.doctor.other_text import other_text
from vecrollback.quality.doctor.outcome import Examination, Point, SourceFinding
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.quality.doctor.stamped import read_stamp
from vecrollback.quality.doctor.survey import IndexSurvey, thin_out
from vecrollback.quality.purity import (
    AuditProgress,
    AuditRequest,
    AuditResult,
    Embed,
    audit,
    embed_judged,
    parse_budget,
)
from vecrollback.records import GoldenQuery, Progress, ProgressCallback, Verdict
from vecrollback.records.arrays import cosines
from vecrollback.serving.vector_map import pca

BOUND, CONFIDENCE = 0.01, 0.99
_WORTH = 0.05
"""The weakest bound that a budget may end with and pass."""
_LENGTHS = 20_000
_LABELLED = 300


@dataclass(frozen=True, slots=True)
class ExaminationRequest:
    """What an examination is asked for.

    `model`: the embedder that should have made the vectors; None to look without one. `suspects`: others that may have.
    `bound`, `confidence`: at most this share of the vectors that are not re-embedded may be foreign; None: 1%, or with
    a budget what that gives, up to 5%. `budget`: texts to embed at most, `500` or `2%` of the rows. `points`: how many
    vectors to place in the plane for pictures. `golden`: queries with known answers, to tell what foreign vectors cost.
    """

    model: str | None = None
    suspects: Sequence[str] = ()
    budget: str | None = None
    bound: float | None = None
    confidence: float = CONFIDENCE
    seed: int | None = None
    points: int = 0
    golden: Sequence[GoldenQuery] = ()


def examine_source(
    source: ForeignIndex,
    request: ExaminationRequest,
    progress: ProgressCallback | None = None,
    *,
    open_model: Callable[[str], Embedder] = open_embedder,
) -> Examination:
    """Examine an opened source; `open_model` opens embedders.

    Raises UsageError when the model cannot have made the vectors, or when there are no texts.
    """
    display = _ShownProgress(progress, source.count)
    embedder = open_model(request.model) if request.model else None
    if embedder is not None and embedder.dimension >= source.dimension:
        _refuse_unfit(request.model or "", embedder, source)  # before the pass: no padding explains it
    survey, outcome = IndexSurvey(source), None
    try:
        survey.run(display.reading)
        stamp = read_stamp(source, embedder)
        results = [*stamp.findings, *findings.passive(source, survey)]
        if embedder is not None:
            if findings.is_padded(source, survey) and embedder.dimension == survey.width:
                source.narrow(survey.width)
            _refuse_unfit(request.model or "", embedder, source)
            suspects = {name: _fitting(name, source, open_model) for name in request.suspects}
            outcome = _audit(source, survey, embedder, suspects, request, display)
            shift = shift_of(source, embedder, outcome)
            text = other_text(source, embedder, outcome) if shift is None else None
            results = [
                *findings.foreign(survey, outcome, shift, text),
                *_by_proof(results, source, survey, embedder, outcome),
            ]
    except CorruptArtifactError as error:
        results = [SourceFinding("unreadable", source.count, (), {}, str(error), "fail")]
        return Examination(
            source.place,
            source.count,
            source.dimension,
            "fail",
            tuple(results),
            None,
            request.model,
            findings.facts(source, survey),
        )
    return Examination(
        source=source.place,
        vectors=source.count,
        dimension=source.dimension,
        verdict=_verdict(results, outcome, request),
        findings=tuple(results),
        certificate=outcome.certificate if outcome else None,
        model=request.model,
        facts={**findings.facts(source, survey), **({"stamp": stamp.facts} if stamp.facts else {})},
        audit=outcome,
        batch_names=survey.batch_names,
        lengths=thin_out(survey.lengths, _LENGTHS),
        points=_points(source, survey, outcome, request.points),
    )


def _verdict(results: Sequence[SourceFinding], outcome: AuditResult | None, request: ExaminationRequest) -> Verdict:
    """Unknown is not OK. Who gives a budget and no bound asks for what that shows, if it is worth the word `pass`."""
    severities = {finding.severity for finding in results}
    if "fail" in severities:  # foreign vectors among them, unless they change no answer
        return "fail"
    if outcome is None or "unknown" in severities or outcome.stopped == "lossy" or outcome.not_examined:
        return "unknown"
    by_budget = outcome.stopped == "budget" and request.budget is not None and request.bound is None
    worth = _WORTH if by_budget and not outcome.suspected else _bound(request)
    return "pass" if outcome.certificate.bound <= worth else "unknown"


def _by_proof(
    results: Sequence[SourceFinding],
    source: ForeignIndex,
    survey: IndexSurvey,
    embedder: Embedder,
    outcome: AuditResult,
) -> list[SourceFinding]:
    """The findings, where the vectors of rows that name another model are proven to be this one's: labels are wrong."""
    rows = findings.named_otherwise(survey)
    if outcome.verdict != "pass" or not len(rows):
        return list(results)
    chance = np.random.default_rng(0)
    sample = np.sort(chance.choice(rows, min(len(rows), _LABELLED), replace=False)).astype(np.int64)
    texts = source.texts(sample)
    sample = sample[[text is not None for text in texts]]
    own = embedder.embed_documents([text for text in texts if text is not None])
    keep = source.keep()
    near = cosines(source.vectors(sample), own if keep is None else keep(own))
    if not len(sample) or not (near >= outcome.floor).all():
        return list(results)
    return [findings.label_wrong(one, len(sample)) if one.kind == "mixed_models" else one for one in results]


def _bound(request: ExaminationRequest) -> float:
    return BOUND if request.bound is None else request.bound


def _audit(
    source: ForeignIndex,
    survey: IndexSurvey,
    embedder: Embedder,
    suspects: Mapping[str, Embedder],
    request: ExaminationRequest,
    display: _ShownProgress,
) -> AuditResult:
    audit_request = AuditRequest(
        bound=_bound(request),
        confidence=request.confidence,
        budget=parse_budget(request.budget, source.count) if request.budget else None,
        floor=floor_for(embedder),
        seed=request.seed,
    )
    if survey.blank.any():
        source.blanks_count = _embeds_blanks(embedder)
    models: dict[str, Embed] = {name: suspect.embed_documents for name, suspect in suspects.items()}
    return audit(
        source,
        embedder.embed_documents,
        suspects=models,
        request=audit_request,
        judgements=lambda: embed_judged(request.golden, embedder.embed_queries),
        progress=display.auditing,
        keep=source.keep(),
    )


def _fitting(name: str, source: ForeignIndex, open_model: Callable[[str], Embedder]) -> Embedder:
    embedder = open_model(name)
    _refuse_unfit(name, embedder, source)
    return embedder


def _refuse_unfit(name: str, embedder: Embedder, source: ForeignIndex) -> None:
    if embedder.dimension != source.dimension:
        raise UsageError(
            f"{name} gives vectors of {embedder.dimension} numbers, those in {source.place} have {source.dimension}",
            hint="name the model that made them, with its truncate_dim or dimensions",
        )
    if not source.has_texts and source.count:
        there = ", ".join(source.connector.fields) or "none"
        raise UsageError(
            f"{source.place} has no texts to embed again; fields there: {there}",
            hint="--text-field or --template names some; beside .npy and FAISS files, --texts rows.jsonl",
        )


def _embeds_blanks(embedder: Embedder) -> bool:
    try:
        embedder.embed_documents([""])
    except EmbeddingError:
        return False
    return True


def _points(source: ForeignIndex, survey: IndexSurvey, outcome: AuditResult | None, most: int) -> tuple[Point, ...]:
    """A sample of the vectors on two principal axes, with the foreign ones up to half of it. The same one each time."""
    usable = np.flatnonzero(np.isfinite(survey.lengths) & (survey.lengths > 0))
    if not most or len(usable) < 3:
        return ()
    chance = np.random.default_rng(0)
    foreign_rows = np.intersect1d(usable, np.array(outcome.rows if outcome else (), np.int64))
    chosen_rows = chance.permutation(foreign_rows)[: most // 2]
    others = chance.permutation(np.setdiff1d(usable, foreign_rows))[: most - len(chosen_rows)]
    rows = np.concatenate([chosen_rows, others])
    vectors = source.vectors(rows) / survey.lengths[rows][:, None]
    places, _ = pca(vectors, np.arange(len(rows)) < len(chosen_rows))
    foreign = [True] * len(chosen_rows) + [False] * len(others)
    return tuple(
        Point(id_, round(float(x), 4), round(float(y), 4), is_foreign)
        for id_, (x, y), is_foreign in zip(source.ids(rows), places, foreign, strict=True)
    )


class _ShownProgress:
    """Passes progress on in the words that commands show."""

    def __init__(self, callback: ProgressCallback | None, count: int) -> None:
        self._callback, self._count = callback, count
        self._started = time.monotonic()

    def reading(self, rows: int) -> None:
        self._tell("reading", rows, self._count, 0)

    def auditing(self, at: AuditProgress) -> None:
        self._tell(f"embedding ({at.stage})", at.embedded, at.budget or at.embedded, at.embedded)

    def _tell(self, phase: str, done: int, total: int, embedded: int) -> None:
        if self._callback is not None:
            elapsed = time.monotonic() - self._started
            self._callback(Progress("", phase, done, max(done, total), embedded, 0, embedded, elapsed))
