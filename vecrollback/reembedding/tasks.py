"""Texts on their way through an engine: grouped into tasks, and how many make one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vecrollback.pairs.vectors import ChunkVectors

_SECONDS = 10.0
_FIRST_TEXTS, _MOST_TEXTS = 256, 8_192
_FIRST_CHARACTERS, _LEAST_CHARACTERS, _MOST_CHARACTERS = 128 << 10, 16 << 10, 8 << 20
_GROWTH = 4.0


@dataclass(frozen=True, slots=True)
class Pending:
    """One document change that has no vectors yet."""

    id: str
    seq: int
    content_hash: bytes
    text: str


@dataclass(slots=True)
class EmbedCounts:
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


Batch = list[tuple[Pending, ChunkVectors]]
"""Changes with their vectors, ready to be written."""

SameTexts = list[Pending]
"""Changes of one text: embedded once."""


@dataclass(slots=True)
class Task:
    """Texts on their way through an engine: each with the changes that have it.

    In the end it has either `made`, or a `reason` why its only text has no vectors. `deaths`: workers it has seen die.
    """

    groups: Sequence[SameTexts]
    made: list[ChunkVectors] = field(default_factory=list)
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
        return [(change, chunks) for group, chunks in pairs for change in group]


class TaskSizes:
    """Sizes units so that a crash loses about ten seconds of a worker, whatever the model."""

    def __init__(self) -> None:
        self._texts = float(_FIRST_TEXTS)
        self._characters = float(_FIRST_CHARACTERS)

    def first(self, lengths: Iterable[int], share: float) -> int:
        """How many texts of these lengths make the next unit; at least one.

        `share`: characters that are left for each worker. Towards the end units get smaller, so that none of the
        workers is still busy for long when the others have nothing to do.
        """
        most = min(self._characters, max(share, _LEAST_CHARACTERS))
        count = characters = 0
        for length in lengths:
            characters += length
            if count and (count >= self._texts or characters > most):
                break
            count += 1
        return count

    def learn(self, task: Task) -> None:
        """Take in how long a unit took."""
        characters = sum(map(len, task.texts))
        if not characters:
            return
        factor = _SECONDS / max(task.seconds, 1e-3)
        grown = min(_GROWTH * self._characters, _MOST_CHARACTERS)
        self._characters = min(max(factor * characters, _LEAST_CHARACTERS), grown)
        grown = min(_GROWTH * self._texts, _MOST_TEXTS)
        self._texts = min(max(factor * len(task.groups), _FIRST_TEXTS), grown)
