"""Long work and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from vecrollback.records.json import Json

JobState = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a job stands. `total` may grow while writers keep writing."""

    job: str
    phase: str
    documents: int
    total: int
    chunks: int
    tokens: int
    embedded: int
    elapsed: float

    @property
    def chunks_per_second(self) -> float:
        return self.chunks / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left at the pace so far; None before there is one."""
        if not self.documents or not self.elapsed:
            return None
        return (self.total - self.documents) * self.elapsed / self.documents


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A long piece of work, as the catalog knows it."""

    id: str
    kind: str
    pair: str
    state: JobState
    cancel: bool
    progress: Mapping[str, Json]
    error: str
    started_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What a catch-up did. `reused` vectors were already there for the same content."""

    pair: str
    watermark: int
    lag: int
    documents: int
    embedded: int
    reused: int
    chunks: int
    seconds: float
