"""From what the pass counted to findings that a person can act on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vecrollback.quality.doctor.alignment import Shift
from vecrollback.quality.doctor.other_text import OtherText
from vecrollback.quality.doctor.outcome import Severity, SourceFinding
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.quality.doctor.survey import Flags, IndexSurvey, length_facts
from vecrollback.quality.purity import AuditResult
from vecrollback.records import Json
from vecrollback.records.arrays import Numbers

_SHOWN = 10_000
_PADDING = 8
"""Numbers that are zero in every vector, and vectors, from which on that is no accident."""
_NEAREST, _QUERIES, _SEARCHED = 10, 200, 20_000
_KEPT = 0.9
"""Share of the right answers that must be left for mixed lengths to be no more than a warning."""
_MIXED_LEAST = 0.001
_MOST_MODELS = 20
"""Where rows name more, the field that is called `model` says something else."""


def passive(source: ForeignIndex, survey: IndexSurvey) -> list[SourceFinding]:
    """What shows without a model."""
    return [*_of_vectors(source, survey), *_of_rows(source, survey), *_of_models(source, survey)]


def foreign(
    survey: IndexSurvey, audit: AuditResult, shift: Shift | None = None, text: OtherText | None = None
) -> Iterator[SourceFinding]:
    """What re-embedding showed, and whether it could have shown anything."""
    reason = lacks(audit)
    if reason and (audit.stopped == "lossy" or not audit.rows):  # what was found was told
        yield SourceFinding("cannot_tell", audit.vectors, (), {}, reason, "unknown")
    rows = np.array(audit.rows, np.int64)
    if shift is not None:
        where = "after" if shift.rows > 0 else "before"
        message = (
            f"the model's own vectors beside other texts: each lies {abs(shift.rows):,} rows {where} its text, from "
            f"row {shift.first:,} or a little earlier on ({shift.tried} re-embedded and found there); rows were "
            "deleted or added on one side alone"
        )
        yield SourceFinding("rows_misaligned", len(rows), audit.ids, survey.batch_counts(rows), message)
    elif text is not None and text.template:
        message = (
            f"{text.fact}; the model makes them of {text.template!r} ({text.tried} re-embedded so): say "
            f"--template {text.template!r}"
        )
        yield SourceFinding("other_text", len(rows), audit.ids, survey.batch_counts(rows), message)
    elif len(rows):
        worst = f"cosine {min(audit.cosines):.4f} to {max(audit.cosines):.4f}" if audit.cosines else ""
        made_by = f"; made by {', '.join(f'{name} ({share:.0%})' for name, share in audit.culprit.items())}"
        message = f"the model does not make these vectors of their texts: {worst}{made_by if audit.culprit else ''}"
        if text is not None:
            message = f"{text.fact}, or a close relative of the model made them; {message}"
        message += f"; {audit.harm}" if audit.harm else ""
        counts = survey.batch_counts(rows)
        yield SourceFinding("foreign_vector", len(rows), audit.ids, counts, message, _loudness(audit))


def lacks(audit: AuditResult) -> str:
    """Why the audit can give no verdict; empty when it can."""
    if audit.power is not None and audit.power.lacks:
        return audit.power.lacks
    if audit.stopped != "lossy":
        return ""
    if audit.storage == "int8 by range":
        return "each column of whole numbers has a range of its own, which is not stored: no vector can be read back"
    return "the vectors are code words of a quantiser, which say too little about what was stored"


def _loudness(audit: AuditResult) -> Severity:
    """A relative so near that answers stay as they are is told, without the alarm that a real mixture raises."""
    if audit.stopped == "lossy":
        return "unknown"
    return "warn" if audit.harmless else "fail"


def facts(source: ForeignIndex, survey: IndexSurvey) -> dict[str, Json]:
    """Counts and properties for the report."""
    usable = int(np.count_nonzero(np.isfinite(survey.lengths)))
    return {
        **source.connector.facts,
        "metric": source.connector.metric,
        "stored": source.connector.stored,
        "unit_share": float(np.count_nonzero(survey.units())) / usable if usable else None,
        "lengths": length_facts(survey.lengths),
        "texts": source.count - int(np.count_nonzero(survey.missing)),
        "models": _embedders(survey),
        "batches": len(survey.batch_names),
        "id_field": source.id_field,
        "text_field": source.text_field,
        "layout": source.layout.name if source.layout else None,
    }


def _of_vectors(source: ForeignIndex, survey: IndexSurvey) -> Iterator[SourceFinding]:
    other = {size: count for size, count in survey.sizes.items() if size not in (0, source.dimension)}
    spread = ", ".join(f"{count:,} of {size}" for size, count in sorted(other.items()))
    misfits = ~survey.fits & ~survey.absent
    what = f"vectors of another size than {source.dimension}: {spread}"
    yield from _finding(source, survey, "dimension_differs", misfits, what)
    yield from _finding(source, survey, "missing_vector", survey.absent, "rows without a vector")
    not_finite = survey.fits & ~np.isfinite(survey.lengths)
    yield from _finding(source, survey, "invalid_vector", not_finite, "vectors with NaN or infinity")
    empty = (survey.lengths == 0) & ~survey.blank
    yield from _finding(source, survey, "zero_vector", empty, "vectors of length zero for texts that are not blank")
    if is_padded(source, survey):
        message = (
            f"the last {source.connector.dimension - survey.width} of {source.connector.dimension} numbers are zero in "
            f"every vector: made with {survey.width} numbers and padded"
        )
        yield SourceFinding("zero_padded", source.count, (), {}, message, "warn")
    yield from _lengths(source, survey)


def is_padded(source: ForeignIndex, survey: IndexSurvey) -> bool:
    """Whether the vectors were filled up with zeros to the size that the place has."""
    few = max(_PADDING, source.connector.dimension // 16)
    return survey.width > 0 and source.count >= _PADDING and source.connector.dimension - survey.width >= few


def _lengths(source: ForeignIndex, survey: IndexSurvey) -> Iterator[SourceFinding]:
    units = survey.units()
    others = np.isfinite(survey.lengths) & (survey.lengths > 0) & ~units
    few, many = sorted((np.count_nonzero(units), np.count_nonzero(others)))
    if few and few >= _MIXED_LEAST * many:
        rare = units if np.count_nonzero(units) == few else others
        message = "of unit length and of other lengths mixed: with the metrics dot and l2 they cannot be compared"
        share = _answers_kept(source, survey)
        if share is not None:
            message += f"; {source.connector.metric} leaves {share:.0%} of the {_NEAREST} nearest by cosine"
        yield from _finding(
            source, survey, "lengths_mixed", rare, message, "fail" if share is not None and share < _KEPT else "warn"
        )


def _answers_kept(source: ForeignIndex, survey: IndexSurvey) -> float | None:
    """Share of the nearest by cosine that the place's own metric gives too, with vectors of the place as queries.

    None where the metric is not known, or not one that lengths change, or where codes give vectors back: the lengths
    are then what decoding makes of them, and were not stored by anybody.
    """
    metric = source.connector.metric
    usable = np.flatnonzero(np.isfinite(survey.lengths) & (survey.lengths > 0))
    exact = source.connector.stored.startswith("float")
    if not exact or metric not in ("dot", "l2") or len(usable) <= _NEAREST:
        return None
    chance = np.random.default_rng(0)
    rows = np.sort(chance.choice(usable, min(len(usable), _SEARCHED), replace=False)).astype(np.int64)
    vectors, lengths = source.vectors(rows), survey.lengths[rows]
    queries = chance.choice(len(rows), min(len(rows), _QUERIES), replace=False)
    cosine = (vectors[queries] / lengths[queries, None]) @ (vectors / lengths[:, None]).T
    scores = cosine * lengths if metric == "dot" else 2 * cosine * lengths - lengths**2
    best = [np.argpartition(-side, _NEAREST - 1, axis=1)[:, :_NEAREST] for side in (cosine, scores)]
    return float(np.mean([len(np.intersect1d(*pair)) / _NEAREST for pair in zip(*best, strict=True)]))


def _of_rows(source: ForeignIndex, survey: IndexSurvey) -> Iterator[SourceFinding]:
    if source.has_texts:
        message = "rows without a text: nobody can tell what made their vectors"
        yield from _finding(source, survey, "missing_text", survey.missing, message, "unknown")
    yield from _finding(source, survey, "blank_text", survey.blank, "rows with a blank text", "warn")
    twice = _flags(source.count, survey.repeated_ids())
    yield from _finding(source, survey, "duplicate_id", twice, "rows that share their id with another", "warn")
    duplicates = _flags(source.count, survey.duplicates())
    message = "rows that share their vector, to the bit, with a row of another text"
    yield from _finding(source, survey, "duplicate_vector", duplicates, message, "warn")


def _of_models(source: ForeignIndex, survey: IndexSurvey) -> Iterator[SourceFinding]:
    counts = _embedders(survey)
    if len(counts) > 1:
        others = _flags(source.count, named_otherwise(survey))
        names = ", ".join(f"{name}: {count:,}" for name, count in counts.items())
        yield from _finding(source, survey, "mixed_models", others, f"rows name different models ({names})")
    unnamed = survey.models < 0 if counts else np.zeros(source.count, np.bool_)
    yield from _finding(source, survey, "model_not_recorded", unnamed, "rows name no model, others do", "warn")


def named_otherwise(survey: IndexSurvey) -> Numbers:
    """Rows that name another model than most rows do."""
    counts = _embedders(survey)
    if len(counts) < 2:
        return np.empty(0, np.int64)
    usual = survey.model_names.index(max(counts, key=lambda name: counts[name]))
    return np.flatnonzero((survey.models >= 0) & (survey.models != usual))


def label_wrong(finding: SourceFinding, proven: int) -> SourceFinding:
    """What is left of a mixture of names where the vectors are proven to be one model's."""
    message = (
        f"{finding.message}, yet the model makes their vectors ({proven:,} of them re-embedded): the names are wrong"
    )
    return replace(finding, kind="label_wrong", message=message, severity="warn")


def _embedders(survey: IndexSurvey) -> dict[str, int]:
    counts = survey.model_counts()
    return counts if len(counts) <= _MOST_MODELS else {}


def _finding(
    source: ForeignIndex, survey: IndexSurvey, kind: str, flags: Flags, message: str, severity: Severity = "fail"
) -> Iterator[SourceFinding]:
    rows = np.flatnonzero(flags)
    if len(rows):
        ids = tuple(source.ids(rows[:_SHOWN]))
        yield SourceFinding(kind, len(rows), ids, survey.batch_counts(rows), message, severity)


def _flags(count: int, rows: Numbers) -> Flags:
    flags = np.zeros(count, np.bool_)
    flags[rows] = True
    return flags
