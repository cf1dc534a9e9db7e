"""What a store tells of its past: moves, deletes, whether somebody changed them, whether it went back in time.

These are methods of `Store`, which has everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vecrollback.records import ErasureExport, ErasuresApplied, HistoryProof, Move, Reconciled, Setback

if TYPE_CHECKING:
    from vecrollback.catalog import Catalog
    from vecrollback.pairs.resources import Resources
    from vecrollback.store.parts import Parts


class HistoryMethods:
    """The methods of `Store` about its history."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _catalog(self) -> Catalog: ...
        @property
        def _parts(self) -> Parts: ...
        @property
        def resources(self) -> Resources: ...
        @property
        def actor(self) -> str: ...

    def history(self, *, alias: str | None = None, limit: int | None = None) -> list[Move]:
        """List the moves of the pointers.

        Args:
            alias: Only moves of this alias, such as `live`.
            limit: At most so many.

        Returns:
            The moves, newest first. Each holds the hash of the one before it.

        Example:
            >>> [(move.kind, move.target, move.actor) for move in store.history(alias="live")]
            [('promote', 'v2@1', 'anna'), ('promote', 'v1@1', 'anna')]
        """
        return self._catalog.aliases.history(alias, limit=limit)

    def export_history(self, path: str | Path, *, sign: bool = False) -> Move | None:
        """Write every move into a file, to be kept where nobody who can write the store can write.

        Args:
            path: The file.
            sign: Sign it with the key of `VECROLLBACK_KEY_FILE` or `VECROLLBACK_KEY`.

        Returns:
            The last move; None while nothing has moved.

        Raises:
            UsageError: It is to be signed, and no key is set.

        Example:
            >>> store.export_history("history.json").number
            4
        """
        from vecrollback.store.history_file import export_history

        return export_history(self._catalog, Path(path), sign=sign)

    def verify_history(self, against: Sequence[str | Path] = (), *, require_signature: bool = False) -> HistoryProof:
        """Compare the history with its own chain, and with what it was before.

        Args:
            against: Files that `export_history` wrote, or notices as they were delivered, JSON.
            require_signature: A file that the key did not sign is a problem.

        Returns:
            Verdict, and everything that differs.

        Raises:
            UsageError: A file cannot be read, or no key is set and signatures are required.

        Example:
            >>> _ = store.export_history("history.json")
            >>> store.verify_history(["history.json"]).verdict
            'pass'
        """
        from vecrollback.store.history_file import verify_history

        return verify_history(self._catalog, [Path(one) for one in against], require_signature=require_signature)

    def export_erasures(self, path: str | Path) -> ErasureExport:
        """Note every delete in a file that is kept outside of the store, for the day an older copy is put back.

        With `erasures` in the settings (`VECROLLBACK_ERASURES`) each delete is noted there as it is made, and `status`
        tells when the store lacks some of them.

        Args:
            path: The file. What it holds stays; deletes that it lacks are added.

        Returns:
            How many were added, and how many documents it knows as deleted that this store does not.

        Raises:
            UsageError: The file is another one, or cannot be read.

        Example:
            >>> _ = store.delete(["bread"])
            >>> store.export_erasures("erasures.jsonl").written
            1
        """
        from vecrollback.store.erasures import export_erasures

        return export_erasures(self._parts, Path(path))

    def apply_erasures(self, path: str | Path, *, copy_of: str | None = None, dry_run: bool = False) -> ErasuresApplied:
        """Delete what a file of erasures knows as deleted, in a store that was put back from an older copy.

        Also a document that was written into the copy since, under the same id: which came first, nobody can tell.

        Args:
            path: What `export_erasures` wrote.
            copy_of: Id of the store whose deletes count too, because this one was restored from its backup.
            dry_run: Change nothing.

        Returns:
            The documents that were deleted, and how many others are known as deleted now.

        Raises:
            UsageError: The file cannot be read, or is of another store.

        Example:
            >>> _ = store.delete(["bread"])
            >>> _ = store.export_erasures("erasures.jsonl")
            >>> store.apply_erasures("erasures.jsonl").deleted
            ()
        """
        from vecrollback.store.erasures import apply_erasures

        return apply_erasures(self._parts, Path(path), copy_of=copy_of, dry_run=dry_run)

    def setback(self) -> Setback | None:
        """Tell whether the catalog went back in time: an older file was put back, or a late standby took over.

        Marks beside the store's tables are compared with it. While it lacks what they name, moves and writes are
        refused (`TimeWentBackError`), and answers say that they are not current.

        Returns:
            What it lacks; None when it lacks nothing.

        Example:
            >>> store.setback() is None
            True
        """
        return self._catalog.setback()

    def reconcile(self, *, actor: str | None = None) -> Reconciled | None:
        """Mend a catalog that went back in time, from what the store's own files know.

        The log's newest version is acknowledged again, with every delete in it. Lost moves are put back into the
        history word for word where their marks lie there and their snapshots exist; else the pointer moves to an epoch
        that is greater than any that was seen. If the newer catalog still exists, put that one back instead.

        Args:
            actor: Who mends it. Default: the store's actor.

        Returns:
            What was mended, and what is lost; None when there was nothing to mend.

        Raises:
            CorruptArtifactError: The log's table is damaged, too.

        Example:
            >>> store.reconcile() is None
            True
        """
        from vecrollback.store.reconcile import reconcile

        return reconcile(self.resources, actor=actor or self.actor)
