"""What a store does with its storage: keep it small, back it up, take the documents back to an earlier point.

These are attributes and methods of `Store`, which has everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from vecrollback.records import Pair, PairExport, ProgressCallback

if TYPE_CHECKING:
    from vecrollback.pairs.backup import Backups
    from vecrollback.pairs.prune import Pruner
    from vecrollback.pairs.time_travel import TimeTravel
    from vecrollback.store.pair_export import PairBuilding
    from vecrollback.store.parts import Parts


class StorageMethods:
    """The attributes and methods of `Store` about storage."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _parts(self) -> Parts: ...
        def pair(self, pair: Pair | str) -> Pair: ...

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

    def export_pair(
        self, pair: Pair | str, place: str, *, name: str | None = None, progress: ProgressCallback | None = None
    ) -> PairExport:
        """Write a pair to another place, and prove that the place has the same vectors.

        The pair is caught up first. In a database it becomes a pair of this store, with the vectors taken over, that
        can be promoted: this is how a pair moves. In a file it is rows for other programs: chunk by chunk id, text,
        metadata and vector, and the stamp of its model, which `vecrollback doctor` reads.

        Args:
            pair: The pair, or its name.
            place: A Parquet file, or a database as for `reembed`: `KIND:ADDRESS#NAME`.
            name: Of the pair in the database. Default: that of the pair, and the kind of database.
            progress: Called after every batch.

        Returns:
            Where it is, how many texts had to be embedded, and how every vector there compares with the one here.

        Raises:
            PairStateError: The pair is not whole.
            CorruptArtifactError: Its vectors are damaged; nothing was written.
            EmbedderChangedError: The model is not the one that made the pair.
            UsageError: The place cannot be one.

        Example:
            >>> done = store.export_pair("v1", "v1.parquet")
            >>> done.parity.verdict, done.parity.rows == done.parity.identical
            ('pass', True)
        """
        from vecrollback.store.pair_export import export_pair

        return export_pair(cast("PairBuilding", self), self.pair(pair), place, name=name, progress=progress)

    def compact(self, *, purge: bool = False) -> None:
        """Merge the small files of the log and of all vectors, and clean old versions away. Answers stay the same.

        A worker does this by itself where it pays. Versions that a snapshot names stay.

        Args:
            purge: Remove every byte of deleted texts, too, also from what this machine keeps to answer faster.

        Example:
            >>> store.compact(purge=True)
        """
        self.retention.compact(purge=purge)
