"""What a store does with its storage: keep it small, back it up, take the documents back to an earlier point.

These are attributes and methods of `Store`, which has everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vecrollback.pairs.backup import Backups
    from vecrollback.pairs.prune import Pruner
    from vecrollback.pairs.time_travel import TimeTravel
    from vecrollback.store.parts import Parts


class StorageMethods:
    """The attributes and methods of `Store` about storage."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _parts(self) -> Parts: ...

    @property
    def retention(self) -> Pruner:
        """What may be deleted: plan it, then apply the plan. And what keeps the storage small meanwhile."""
        return self._parts.retention

    @property
    def backups(self) -> Backups:
        """The whole store as one file: create it, and restore it into an empty store."""
        return self._parts.backups

    @property
    def time_travel(self) -> TimeTravel:
        """The documents as they were at an earlier point of the log: plan it, then go back."""
        return self._parts.time_travel

    def compact(self, *, purge: bool = False) -> None:
        """Merge the small files of the log and of all vectors, and clean old versions away. Answers stay the same.

        A worker does this by itself where it pays. Versions that a snapshot names stay.

        Args:
            purge: Remove every byte of deleted texts, too, also from what this machine keeps to answer faster.

        Example:
            >>> store.compact(purge=True)
        """
        self.retention.compact(purge=purge)
