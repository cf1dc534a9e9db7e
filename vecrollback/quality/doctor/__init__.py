"""The doctor: what is wrong with vectors that already exist somewhere, whoever keeps them.

    from vecrollback.quality.doctor import examine

    examination = examine("vectors.npy", texts="rows.jsonl", model="sentence-transformers/all-MiniLM-L6-v2")
    print(examination.verdict, examination.certificate)

The source is only read. Without a model one pass counts what can be counted; with one, an active audit finds the
vectors that it did not make and bounds the share of those nobody looked at. `vecrollback.connectors` lists sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vecrollback.connectors import ColumnNames
from vecrollback.quality.doctor.against import SourceDifference, compare_sources
from vecrollback.quality.doctor.by_field import ExaminationByField, examine_by
from vecrollback.quality.doctor.examination import CONFIDENCE, ExaminationRequest, examine_source
from vecrollback.quality.doctor.outcome import Examination, SourceFinding
from vecrollback.quality.doctor.page import write_html
from vecrollback.quality.doctor.reading import SourceReading
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.records import GoldenQuery, ProgressCallback

__all__ = [
    "ColumnNames",
    "Examination",
    "ExaminationByField",
    "ExaminationRequest",
    "ForeignIndex",
    "SourceDifference",
    "SourceFinding",
    "SourceReading",
    "compare_sources",
    "examine",
    "examine_by",
    "examine_source",
    "write_html",
]


def examine(
    place: str,
    *,
    texts: str | Path | None = None,
    model: str | None = None,
    suspects: Sequence[str] = (),
    budget: str | int | None = None,
    bound: float | None = None,
    confidence: float = CONFIDENCE,
    seed: int | None = None,
    fields: ColumnNames | None = None,
    points: int = 0,
    golden: Sequence[GoldenQuery] = (),
    reading: SourceReading | None = None,
    progress: ProgressCallback | None = None,
) -> Examination:
    """Examine the vectors at `place`, with `texts` beside it where it holds none. The rest: see `ExaminationRequest`.

    `reading`: which rows are meant, and what of a row was embedded.

    Raises UsageError that names the fact and the cure, MissingDependencyError.
    """
    spend = None if budget is None else str(budget)
    request = ExaminationRequest(model, tuple(suspects), spend, bound, confidence, seed, points, golden)
    with ForeignIndex(
        place, texts=Path(texts) if texts is not None else None, fields=fields, reading=reading
    ) as source:
        return examine_source(source, request, progress)
