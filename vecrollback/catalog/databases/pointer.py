"""The read that every query makes: where an alias points. One interface, an implementation for each database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from vecrollback.records import Canary, Pointer

POINTER_SQL = """
SELECT a.epoch, a.pair, a.snapshot, p.watermark, p.vectors_version, c.head, c.version, a.trial
FROM alias a JOIN pair p ON p.name = a.pair CROSS JOIN corpus c WHERE a.name = {}
"""
"""What `Pointer` holds after the alias's name, and which canary runs. `{}` is the place of the parameter."""

CANARY_SQL = """
SELECT a.epoch, a.pair, a.snapshot, p.watermark, p.vectors_version, c.head, c.version,
r.number, r.step, r.share, r.shadow, r.salt, q.name, q.snapshot, q.watermark, q.vectors_version
FROM alias a JOIN pair p ON p.name = a.pair CROSS JOIN corpus c
LEFT JOIN rollout r ON r.number = a.trial LEFT JOIN pair q ON q.name = r.pair
WHERE a.name = {}
"""
"""The same and what `Canary` holds, at one moment. Run only while there is a canary: it costs half as much again."""

_CANARY = 7


def tries(row: Sequence[Any]) -> bool:
    """Whether a row of `POINTER_SQL` says that a pair is tried."""
    return row[_CANARY] is not None


def pointer_of(alias: str, row: Sequence[Any]) -> Pointer:
    """A row of `POINTER_SQL` or `CANARY_SQL` as a value. Some drivers give strings for numbers."""
    epoch, pair, snapshot, watermark, version, head, corpus, *trial = row
    own = (alias, int(epoch), pair, int(snapshot), int(watermark), int(version), int(head), int(corpus))
    if trial[0] is None:
        return Pointer(*own)
    number, step, share, shadow, salt, name, *position = trial
    canary = Canary(int(number), int(step), float(share), float(shadow), salt, name, *map(int, position))
    return Pointer(*own, canary)


class PointerReader(Protocol):
    """Reads one alias; exact, and cheap enough for every query. Safe to use from many threads."""

    def read(self) -> Pointer | None:
        """Where the alias points now; None when it was never set. Raises CatalogUnavailableError.

        The same object while nothing that concerns a query changed: callers compare by identity.
        """

    def wait(self, seconds: float) -> bool:
        """Rest until something was committed, at most so long; whether something was, or may have been.

        For one thread, which reads after it. Raises nothing: trouble is for `read` to tell.
        """

    def wake(self) -> None:
        """End the wait of another thread, or the next one."""

    def close(self) -> None:
        """Let go of the connection."""
