"""A verdict for each value of a field: several collections in one table, tenants, models, months."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from vecrollback.embedders import Embedder, open_embedder
from vecrollback.errors import UsageError
from vecrollback.quality.doctor.examination import ExaminationRequest, examine_source
from vecrollback.quality.doctor.outcome import Examination
from vecrollback.quality.doctor.reading import rows_by
from vecrollback.quality.doctor.source import ForeignIndex
from vecrollback.records import Json, ProgressCallback, Verdict

_MOST = 1_000


@dataclass(frozen=True, slots=True)
class ExaminationByField:
    """What was found for each value, the most frequent first; "" for rows without the field."""

    source: str
    field: str
    examinations: dict[str, Examination]

    @property
    def verdict(self) -> Verdict:
        """The worst of all: fail before unknown before pass."""
        verdicts = {one.verdict for one in self.examinations.values()}
        return next((one for one in ("fail", "unknown") if one in verdicts), "pass")

    def as_json(self) -> dict[str, Json]:
        """What `doctor --by --json` prints."""
        groups = [{"value": value, **one.as_json()} for value, one in self.examinations.items()]
        return {"source": self.source, "by": self.field, "verdict": self.verdict, "groups": groups}


def examine_by(
    source: ForeignIndex,
    field: str,
    request: ExaminationRequest,
    progress: ProgressCallback | None = None,
    *,
    open_model: Callable[[str], Embedder] = open_embedder,
) -> ExaminationByField:
    """Examine the rows of each value of a field by themselves; models are opened once.

    Raises:
        UsageError: No row has the field, or it has more than 1,000 values.
    """
    groups = rows_by(source.connector, field)
    if len(groups) > _MOST:
        raise UsageError(
            f"{source.place}: {field!r} has {len(groups):,} values, more than {_MOST:,}", hint="narrow with --where"
        )
    opened = cache(open_model)
    found = {
        value: examine_source(source.part(rows), request, progress, open_model=opened) for value, rows in groups.items()
    }
    return ExaminationByField(source.place, field, found)
