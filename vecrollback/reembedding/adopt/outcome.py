"""What an adoption is asked for, and what became of the source."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from vecrollback.quality.doctor import ColumnNames, Examination
from vecrollback.records import Json, ProgressCallback, Report


class AdoptOptions(TypedDict, total=False):
    """What `adopt` takes beside source and model.

    `name`, `index`, `settings`: of the pair. `texts`, `fields`: see `vecrollback.quality.doctor.examine`. `suspects`,
    `budget`, `bound`, `confidence`, `seed`: of the audit. `skip_bad`: leave out rows that are not documents.
    `override`: delete also more than half of what was taken before, where the source has lost it. `in_place`: leave the
    vectors in the table of PostgreSQL that they are read from. `progress`: callback.
    """

    name: str | None
    index: str
    settings: dict[str, Json] | None
    texts: str | Path | None
    fields: ColumnNames | None
    suspects: tuple[str, ...]
    budget: str | None
    bound: float | None
    confidence: float
    seed: int | None
    skip_bad: bool
    in_place: bool
    override: bool
    progress: ProgressCallback | None


@dataclass(frozen=True, slots=True)
class AdoptResult:
    """What became of a source.

    `documents`: its rows that are documents, `known` of them were in the log before. Of these, `changed` were replaced,
    because the source has changed them since they were taken from it; `left` stay as they were written or deleted here.
    `gone`: documents that were taken from it before and are deleted now, because it has them no longer.

    `reused`: texts whose vectors were taken over; `embedded`: texts embedded for the pair, the audit's own not counted.
    Rows by what became of them: `foreign`: of another model; `damaged`: without a usable vector, or nobody could
    examine them; `split`: the model's chunker takes their texts apart; `left_out`: no documents. `report`: of the check
    afterwards.
    """

    pair: str
    documents: int
    known: int
    changed: int
    left: int
    gone: int
    reused: int
    embedded: int
    foreign: int
    damaged: int
    split: int
    left_out: int
    examination: Examination
    report: Report | None = None

    def as_json(self) -> dict[str, Any]:
        """What `vecrollback adopt --json` prints."""
        counts = [one.name for one in fields(self) if one.name not in ("examination", "report")]
        return {
            **{name: getattr(self, name) for name in counts},
            "examination": self.examination.as_json(),
            "check": asdict(self.report) if self.report else None,
        }
