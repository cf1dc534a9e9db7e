"""What a query is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vecrollback.records.json import Json


@dataclass(frozen=True, slots=True)
class Hit:
    """One document that answers a query. `score`: higher is nearer. `chunk`: ordinal of its best passage.

    `stale` means the document changed after this vector was made; `text` is then today's text at the same place.
    """

    id: str
    score: float
    text: str
    metadata: Mapping[str, Json]
    chunk: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one query and which pair, snapshot and epoch gave it. Never two of them.

    `current` is False when the catalog could not be asked: the answer then comes from what the reader last knew.
    """

    pair: str
    snapshot: int
    epoch: int
    watermark: int
    settings: Mapping[str, Json]
    hits: list[Hit]
    current: bool = True


@dataclass(frozen=True, slots=True)
class Placed:
    """A document's rank in each of two answers; None where it is not among the first k."""

    id: str
    a: int | None
    b: int | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One query on two pairs, and where each document stands in both answers, the best ranks first."""

    query: str
    a: Result
    b: Result
    places: tuple[Placed, ...]

    @property
    def overlap(self) -> float:
        """Share of the longer answer that both have."""
        longer = max(len(self.a.hits), len(self.b.hits))
        both = sum(place.a is not None and place.b is not None for place in self.places)
        return both / longer if longer else 1.0
