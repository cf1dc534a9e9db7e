"""The read that every query makes: where an alias points. One interface, an implementation for each database."""

from __future__ import annotations

from typing import Protocol

from vecrollback.records import Pointer

POINTER_SQL = """
SELECT a.epoch, a.pair, a.snapshot, p.watermark, p.vectors_version, c.head, c.version
FROM alias a JOIN pair p ON p.name = a.pair CROSS JOIN corpus c WHERE a.name = {}
"""
"""What `Pointer` holds after the alias's name; the hole is for the parameter, as the driver spells it."""


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
