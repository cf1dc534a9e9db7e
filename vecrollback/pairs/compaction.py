"""Storage that stays small: merges the small files of a store's tables and cleans away versions nobody needs.

Every write leaves a file, and every version a manifest that names all files: unmerged, both grow with the square of the
writes. Beside whatever reads and writes: a table is merged under its writers' lock, its rows keep their numbers, and
its old versions go when no snapshot names them, nobody reads them for long, and a reader of a moment is done.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from vecrollback.catalog import CORPUS, EARLIER, Catalog, vectors_table
from vecrollback.errors import CorruptArtifactError, LockHeldError
from vecrollback.pairs.resources import Resources
from vecrollback.pairs.vectors import Vectors
from vecrollback.records import Pair, TableUpkeep
from vecrollback.storage.lance_table import KEEP_SECONDS, LanceTable
from vecrollback.storage.local import reach

_log = logging.getLogger(__name__)


def adopt_finished(catalog: Catalog, vectors: Vectors, pair: Pair) -> int:
    """Name in the catalog the rows that a writer appended and synced, but died before it could name; the version."""
    owner = vectors_table(pair.name)
    commit = vectors.recover(pair.vectors_version, catalog.files.of(owner))
    if commit.version != pair.vectors_version:
        catalog.pairs.advance(
            pair.name,
            watermark=pair.watermark,
            vectors_version=commit.version,
            expected=pair.vectors_version,
            files=commit.files,
        )
    return commit.version


@dataclass(frozen=True, slots=True)
class _Versions:
    """Of one table: its version now, those that stay, and those that may go."""

    current: int
    keep: frozenset[int]
    old: tuple[int, ...]


class Compactor:
    """Keeps the tables of one store small. `age`: seconds that a version stays after it was written."""

    def __init__(self, resources: Resources, *, age: float = KEEP_SECONDS) -> None:
        self._catalog, self._corpus, self._vectors_of = resources.catalog, resources.corpus, resources.vectors_of
        self._age = age

    # -- plan ---------------------------------------------------------------------------------------------------------

    def plan(self) -> tuple[TableUpkeep, ...]:
        """What would be done to each table now, and how large it is. Changes nothing."""
        rows = [self._planned(CORPUS, self._corpus.table, self._corpus_versions())]
        if earlier := self._catalog.ledger.earlier().version:
            table = self._corpus.earlier.table
            old = _Versions(earlier, frozenset(), tuple(table.old_versions(earlier, age=self._age)))
            rows.append(self._planned(EARLIER, table, old))
        for pair in self._catalog.pairs.all():
            versions = self._vector_versions(pair)
            if pair.state != "retired" and versions is not None:
                rows.append(self._planned(vectors_table(pair.name), self._vectors_of(pair).table, versions))
        return tuple(row for row in rows if row is not None)

    def _planned(self, owner: str, table: LanceTable, versions: _Versions) -> TableUpkeep | None:
        digests = self._catalog.files.of(owner)
        try:
            # Before they are opened: over some damage Lance ends the process.
            opened = (versions.current, *versions.keep, *versions.old)
            table.require_sound([table.manifest(version) for version in opened], digests)
            dataset = table.at(versions.current)
            below = table.small_rows(dataset)
            small = sum(one.metadata.num_rows < below for one in dataset.get_fragments())
            sizes = {entry.name: entry.bytes for entry in table.file_store.entries()}
            # A file that no version names belongs to a writer at work, or to one that died: it is not judged here.
            obsolete = self._only_in(table, versions)
        except CorruptArtifactError as error:
            _log.warning("table %s is not looked after: %s", owner, error)
            return None
        return TableUpkeep(
            table=owner,
            files=len(sizes),
            bytes=sum(sizes.values()),
            merges=small,
            versions=len(versions.old),
            obsolete_bytes=sum(sizes.get(name, 0) for name in obsolete),
        )

    def _only_in(self, table: LanceTable, versions: _Versions) -> set[str]:
        staying = {versions.current, *versions.keep}
        kept = {name for version in staying for name in table.files(table.at(version))}
        return {name for version in versions.old for name in table.files(table.at(version))} - kept

    # -- apply --------------------------------------------------------------------------------------------------------

    def run(self, *, whole: bool = False, purge: bool = False) -> None:
        """Look after every table; one that is being written is left to its writer.

        Args:
            whole: Merge all small files, not only where so many have gathered that it pays.
            purge: Leave no byte of a deleted text in the documents, whoever reads them now.

        Raises:
            CorruptArtifactError: A file of the documents, which is needed to write a new one, is damaged.
        """
        if whole:
            self._corpus.compact(purge=purge, age=self._age)
        else:
            self._corpus.tidy(self._age)
        for pair in self._catalog.pairs.all():
            if pair.state in ("retired", "building"):
                continue
            try:
                with self._catalog.lock(f"pair-{pair.name}", timeout=0):
                    self.tidy(pair.name, whole=whole)
            except LockHeldError:
                _log.debug("the vectors of %s are being written: their writer looks after them", pair.name)
            except CorruptArtifactError as error:
                _log.warning("the vectors of %s are not merged: %s", pair.name, error)

    def tidy(self, name: str, *, whole: bool = False, after_write: bool = False) -> None:
        """Merge a pair's vectors where that pays, and clean old versions away. The caller holds the pair's lock.

        `after_write`: old versions go only when something is merged, once in so many writes, and where they are many:
        to look through all versions of the last minutes costs more than a small write does.

        Raises CorruptArtifactError when a file that would be read is not what was acknowledged; nothing was changed.
        """
        pair = self._catalog.pairs.get(name)
        digests = self._catalog.files.of(vectors_table(name))
        if not self._is_ours_to_tidy(pair, digests):
            return
        vectors = self._vectors_of(pair)
        vectors.table.require_sound([vectors.table.manifest(pair.vectors_version)], digests)
        dataset = vectors.table.at(pair.vectors_version)
        many = len(dataset.get_fragments()) > 1
        below = None if whole and many else vectors.table.small_rows(dataset)
        merging = below is None or below > 0
        if merging:
            self._merge(pair, vectors, below)
        elif after_write:
            return
        versions = self._vector_versions(self._catalog.pairs.get(name), after_write=after_write)
        if versions is not None and versions.old:
            self._forget(vectors_table(name), vectors.table, versions)

    def _merge(self, pair: Pair, vectors: Vectors, below: int | None) -> None:
        version = adopt_finished(self._catalog, vectors, pair)
        commit = vectors.compact(known=version, files=self._catalog.files.of(vectors_table(pair.name)), below=below)
        reach("vectors.compacted")
        self._catalog.pairs.advance(
            pair.name,
            watermark=pair.watermark,
            vectors_version=commit.version,
            expected=version,
            files=commit.files,
        )

    def _forget(self, owner: str, table: LanceTable, versions: _Versions) -> None:
        try:
            with self._catalog.lock(f"reading-{owner}", timeout=0):
                table.forget_versions(versions.old, self._catalog.files.of(owner), onto=table.at(versions.current))
                reach("vectors.forgotten")
                self._catalog.files.keep_only(owner, table.names())
        except LockHeldError:
            _log.debug("old versions of %s stay for now: they are being read", owner)

    # -- which versions -----------------------------------------------------------------------------------------------

    def _corpus_versions(self) -> _Versions:
        current = self._corpus.state().version
        return _Versions(current, frozenset(), tuple(self._corpus.table.old_versions(current, age=self._age)))

    def _vector_versions(self, pair: Pair, *, after_write: bool = False) -> _Versions | None:
        """None for a pair whose table is not to be tidied."""
        if not self._is_ours_to_tidy(pair, self._catalog.files.of(vectors_table(pair.name))):
            return None
        current = pair.vectors_version
        keep = frozenset(snapshot.vectors_version for snapshot in self._catalog.pairs.snapshots(pair.name))
        table = self._vectors_of(pair).table
        which = table.many_old_versions if after_write else table.old_versions
        return _Versions(current, keep, tuple(which(current, keep, self._age)))

    def _is_ours_to_tidy(self, pair: Pair, digests: Mapping[str, str]) -> bool:
        """False for a pair in a database, which looks after its tables itself, and while a restore has moved the pair
        back behind vectors that its next catch-up takes in.
        """
        if pair.backend:
            return False
        return self._vectors_of(pair).newest_acknowledged(pair.vectors_version, digests) == pair.vectors_version
