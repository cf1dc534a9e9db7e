"""An examination from the first byte to the verdict: one pass without a model, then the audit with one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecrollback.arrays import cosines
from vecrollback.embedders import Embedder, open_embedder
from vecrollback.embedders.probes import floor_for
from vecrollback.errors import CorruptArtifactError, EmbeddingError, UsageError
from vecrollback.quality.doctor import findings
from vecrollback.quality.doctor.alignment import shift_of
from vecrollback.quality.doctor.outcome import Examination, Point, SourceFinding
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.quality.doctor.survey import IndexSurvey, thinned
from vecrollback.quality.purity import AuditProgress, AuditRequest, AuditResult, Embed, audit, judged, parse_budget
from vecrollback.records import GoldenQuery, Progress, ProgressCallback, Verdict
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
    opened: Callable[[str], Embedder] = open_embedder,
) -> Examination:
    """Examine an opened source; `opened` opens embedders.

    Raises UsageError when the model cannot have made the vectors, or when there are no texts.
    """
    shown = _ShownProgress(progress, source.count)
    embedder = opened(request.model) if request.model else None
    if embedder is not None and embedder.dimension >= source.dimension:
        _refuse_unfit(request.model or "", embedder, source)  # before the pass: no padding explains it
    survey, audited = IndexSurvey(source), None
    try:
        survey.run(shown.reading)
        found = findings.passive(source, survey)
        if embedder is not None:
            if findings.padded(source, survey) and embedder.dimension == survey.width:
                source.narrow(survey.width)
            _refuse_unfit(request.model or "", embedder, source)
            suspects = {name: _fitting(name, source, opened) for name in request.suspects}
            audited = _audited(source, survey, embedder, suspects, request, shown)
            found = [
                *findings.foreign(survey, audited, shift_of(source, embedder, audited)),
                *_by_proof(found, source, survey, embedder, audited),
            ]
    except CorruptArtifactError as error:
        found = [SourceFinding("unreadable", source.count, (), {}, str(error), "fail")]
        return Examination(
            source.place,
            source.count,
            source.dimension,
            "fail",
            tuple(found),
            None,
            request.model,
            findings.facts(source, survey),
        )
    return Examination(
        source=source.place,
        vectors=source.count,
        dimension=source.dimension,
        verdict=_verdict(found, audited, request),
        findings=tuple(found),
        certificate=audited.certificate if audited else None,
        model=request.model,
        facts=findings.facts(source, survey),
        audited=audited,
        batch_names=survey.batch_names,
        lengths=thinned(survey.lengths, _LENGTHS),
        points=_points(source, survey, audited, request.points),
    )


def _verdict(found: Sequence[SourceFinding], audited: AuditResult | None, request: ExaminationRequest) -> Verdict:
    """Unknown is not OK. Who gives a budget and no bound asks for what that shows, if it is worth the word `pass`."""
    severities = {finding.severity for finding in found}
    if "fail" in severities:  # foreign vectors among them, unless they change no answer
        return "fail"
    if audited is None or "unknown" in severities or audited.stopped == "lossy" or audited.not_examined:
        return "unknown"
    spent = audited.stopped == "budget" and request.budget is not None and request.bound is None
    worth = _WORTH if spent and not audited.suspected else _bound(request)
    return "pass" if audited.certificate.bound <= worth else "unknown"


def _by_proof(
    found: Sequence[SourceFinding],
    source: ForeignIndex,
    survey: IndexSurvey,
    embedder: Embedder,
    audited: AuditResult,
) -> list[SourceFinding]:
    """The findings, where the vectors of rows that name another model are proven to be this one's: labels are wrong."""
    rows = findings.named_otherwise(survey)
    if audited.verdict != "pass" or not len(rows):
        return list(found)
    chance = np.random.default_rng(0)
    tried = np.sort(chance.choice(rows, min(len(rows), _LABELLED), replace=False)).astype(np.int64)
    texts = source.texts(tried)
    tried = tried[[text is not None for text in texts]]
    made = embedder.embed_documents([text for text in texts if text is not None])
    keep = source.keep()
    near = cosines(source.vectors(tried), made if keep is None else keep(made))
    if not len(tried) or not (near >= audited.floor).all():
        return list(found)
    return [findings.label_wrong(one, len(tried)) if one.kind == "mixed_models" else one for one in found]


def _bound(request: ExaminationRequest) -> float:
    return BOUND if request.bound is None else request.bound


def _audited(
    source: ForeignIndex,
    survey: IndexSurvey,
    embedder: Embedder,
    suspects: Mapping[str, Embedder],
    request: ExaminationRequest,
    shown: _ShownProgress,
) -> AuditResult:
    asked = AuditRequest(
        bound=_bound(request),
        confidence=request.confidence,
        budget=parse_budget(request.budget, source.count) if request.budget else None,
        floor=floor_for(embedder),
        seed=request.seed,
    )
    if survey.blank.any():
        source.blanks_count = _embeds_blanks(embedder)
    tried: dict[str, Embed] = {name: suspect.embed_documents for name, suspect in suspects.items()}
    return audit(
        source,
        embedder.embed_documents,
        suspects=tried,
        asked=asked,
        judged=lambda: judged(request.golden, embedder.embed_queries),
        progress=shown.auditing,
        keep=source.keep(),
    )


def _fitting(name: str, source: ForeignIndex, opened: Callable[[str], Embedder]) -> Embedder:
    embedder = opened(name)
    _refuse_unfit(name, embedder, source)
    return embedder


def _refuse_unfit(name: str, embedder: Embedder, source: ForeignIndex) -> None:
    if embedder.dimension != source.dimension:
        raise UsageError(
            f"{name} gives vectors of {embedder.dimension} numbers, those in {source.place} have {source.dimension}",
            hint="name the model that made them, with its truncate_dim or dimensions",
        )
    if source.text_field is None and source.count:
        there = ", ".join(source.connector.fields) or "none"
        raise UsageError(
            f"{source.place} has no texts to embed again; fields there: {there}",
            hint="--text-field names one; beside .npy and FAISS files, --texts rows.jsonl",
        )


def _embeds_blanks(embedder: Embedder) -> bool:
    try:
        embedder.embed_documents([""])
    except EmbeddingError:
        return False
    return True


def _points(source: ForeignIndex, survey: IndexSurvey, audited: AuditResult | None, most: int) -> tuple[Point, ...]:
    """A sample of the vectors on two principal axes, with the foreign ones up to half of it. The same one each time."""
    usable = np.flatnonzero(np.isfinite(survey.lengths) & (survey.lengths > 0))
    if not most or len(usable) < 3:
        return ()
    chance = np.random.default_rng(0)
    named = np.intersect1d(usable, np.array(audited.rows if audited else (), np.int64))
    shown = chance.permutation(named)[: most // 2]
    others = chance.permutation(np.setdiff1d(usable, named))[: most - len(shown)]
    rows = np.concatenate([shown, others])
    vectors = source.vectors(rows) / survey.lengths[rows][:, None]
    places, _ = pca(vectors, np.arange(len(rows)) < len(shown))
    foreign = [True] * len(shown) + [False] * len(others)
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
