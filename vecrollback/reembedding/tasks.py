"""What the embedding of a pair's documents hands around."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vecrollback.reembedding.reuse import Passages


@dataclass(frozen=True, slots=True)
class Pending:
    """One document change that has no vectors yet."""

    id: str
    seq: int
    content_hash: bytes
    text: str


@dataclass(slots=True)
class Tally:
    """What was done so far. `documents`: changes taken in; `embedded`, `reused`: texts; `chunks`, `tokens`: read.

    `given_up`: changes whose text the model cannot embed. `ideal`: seconds that the model's arithmetic takes at the
    machine's best rate, in all; `workers`: those that share it.
    """

    documents: int = 0
    embedded: int = 0
    reused: int = 0
    chunks: int = 0
    tokens: int = 0
    total: int = 0
    given_up: int = 0
    ideal: float = 0.0
    workers: int = 1
    started: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def share(self) -> float | None:
        """Of what the workers' processors could do, the part that reached the model; None where nobody can tell."""
        return self.ideal / (self.elapsed * self.workers) if self.ideal and self.elapsed else None


Batch = list[tuple[Pending, Passages]]
"""Changes with their vectors, ready to be written."""

Twins = list[Pending]
"""Changes of one text: embedded once."""


@dataclass(slots=True)
class Task:
    """Texts on their way through an engine: each with the changes that have it.

    In the end it has either `made`, or a `reason` why its only text has no vectors. `deaths`: workers it has seen die.
    """

    groups: Sequence[Twins]
    made: list[Passages] = field(default_factory=list)
    tokens: int = 0
    ideal: float = 0.0
    reason: str = ""
    deaths: int = 0
    seconds: float = 0.0

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(group[0].text for group in self.groups)

    @property
    def batch(self) -> Batch:
        pairs = zip(self.groups, self.made, strict=True)
        return [(change, passages) for group, passages in pairs for change in group]
