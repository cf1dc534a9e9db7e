"""Lance tables whose commits are durable before anybody hears of them.

Lance writes to a disk without syncing (measured with strace: no fsync at all). So every write here goes in three steps:
data files, synced; then the commit that makes a version of them; then the version's manifest, synced. On object storage
the steps are the same and there is nothing to sync. The caller names the version in the catalog last. A version newer
than the catalog's belongs to a writer that died: `recover` decides.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vecrollback.errors import CatalogOlderError, CorruptArtifactError, HeadMovedError, VecrollbackError
from vecrollback.storage import FileStore
from vecrollback.storage.forks import FollowsForks, follow_forks, inherit, uses_tables
from vecrollback.storage.local import reach
from vecrollback.storage.reading import MEND_TABLE, readable, translated


@dataclass(frozen=True, slots=True)
class Commit:
    """A durable version of a table and the SHA-256 of each file it brought, by path inside the table."""

    dataset: Any
    files: Mapping[str, str]

    @property
    def version(self) -> int:
        return int(self.dataset.version)


_TIERS = tuple(64 * 8**power for power in range(6))
"""Rows of a fragment. Small ones are merged into one of the next tier, so each row is copied a few times in all."""

_FRAGMENTS_OF_A_TIER = 16
_TRANSACTIONS = "_transactions"
_PAYING_SHARE = 0.25
KEEP_SECONDS = 120.0
"""How long a version stays that the catalog names no more: a reader may have asked for its number just before."""


class LanceTable(FollowsForks):
    """One Lance dataset. Versions are immutable; one writer at a time holds the caller's lock."""

    def __init__(self, file_store: FileStore) -> None:
        self.file_store = file_store
        self.name = self.file_store.uri.rstrip("/").rpartition("/")[2].removesuffix(".lance")
        self._opened: Any = None
        follow_forks(self)

    def forked(self) -> None:
        inherit(self._opened)
        self._opened = None

    def reopen(self) -> None:
        """Forget what is open: other files lie there now."""
        self._opened = None

    def exists(self) -> bool:
        """Whether there is a version. A power loss may leave the folders of a table, and none in them."""
        return bool(self.versions_above(0))

    def require(self) -> None:
        """Raises CorruptArtifactError unless the table is there."""
        if not self.exists():
            raise CorruptArtifactError(
                f"the table {self.file_store.uri} is gone", hint="the same command again writes it anew"
            )

    @uses_tables
    def create(self, schema: pa.Schema, *, stable_row_ids: bool = False) -> Commit:
        """Lay out an empty table, version 1. Idempotent; what a power loss left of it is laid out again.

        Call it before a version is acknowledged: later version 1 may be cleaned away.
        """
        import lance

        if self.versions_above(0) == [1]:
            try:
                with self._readable(1):
                    self._version(1)
            except CorruptArtifactError:
                self._set_aside(1)
        if not self.exists():
            options: Any = {"enable_stable_row_ids": stable_row_ids, "storage_options": self.file_store.options}
            lance.write_dataset(schema.empty_table(), self.file_store.uri, **options)
            self.file_store.settle_all()
        return self.described(self._version(1))

    def discard(self) -> None:
        """Remove the table and all its versions."""
        self._opened = None
        self.file_store.remove("")

    @uses_tables
    def at(self, version: int) -> Any:
        """The dataset at exactly this version. Raises CorruptArtifactError when it cannot be read."""
        opened = self._opened
        if opened is not None and opened.version == version:
            return opened
        with self._readable(version):
            opened = self._version(version)
        self._opened = opened
        return opened

    @uses_tables
    def recover(self, known: int, digests: Mapping[str, str]) -> Any:
        """The newest whole version, at least `known`; sets torn ones above it aside.

        A power loss may leave the name of a file without its bytes; a purge may have taken the files of a writer that
        was cut off and committed late. Nothing names such a version. `digests`: those that the catalog has. Whatever
        the next version is made from is compared with them first: its manifest repeats what this one says.

        Raises CorruptArtifactError when version `known` itself is damaged; then nothing is set aside, because the newer
        ones may be all that is left.
        """
        base = self._acknowledged(known, digests)
        for version in sorted(self.versions_above(known), reverse=True):
            try:
                with self._readable(version):
                    newest = self._version(version)
                    self._require_whole(newest, self.files(base))
            except CorruptArtifactError:
                self._set_aside(version)
                continue
            self.file_store.settle_all()
            return newest
        return base

    @uses_tables
    def newest(self, known: int) -> Any:
        """The newest version above `known` that is whole, whoever acknowledged it; sets none aside. Else `known`."""
        for version in sorted(self.versions_above(known), reverse=True):
            with suppress(CorruptArtifactError), self._readable(version):
                newest = self._version(version)
                self._require_whole(newest, frozenset())
                return newest
        return self.at(known)

    @uses_tables
    def append(self, rows: pa.Table, *, onto: Any) -> Commit:
        """Add rows; the new version is durable when this returns."""
        import lance

        fragments = lance.fragment.write_fragments(
            rows, onto, schema=onto.schema, mode="append", storage_options=self.file_store.options
        )
        names = self._settled(fragments)
        reach("table.data_synced")
        operation = lance.LanceOperation.Append(fragments)
        committed = lance.LanceDataset.commit(onto, operation, read_version=onto.version)
        return self._committed(committed, names, after=onto.version)

    @uses_tables
    def merge(self, key: str, rows: pa.Table, *, onto: Any) -> Commit:
        """Insert rows or replace those with the same key; durable when this returns. Raises HeadMovedError."""
        import lance

        merge = onto.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
        transaction, _ = merge.execute_uncommitted(rows)
        operation = transaction.operation
        # A fragment that lost rows keeps its data files. Their digests stay as they are: read again, damage would pass.
        changed = [*operation.new_fragments, *operation.updated_fragments]
        names = self._settled(changed, known=self.files(onto))
        reach("table.data_synced")
        try:
            committed = lance.LanceDataset.commit(onto, transaction)
        except lance.commit.CommitConflictError as error:
            raise HeadMovedError(self.name, expected=f"version {onto.version}", found="a newer one") from error
        return self._committed(committed, names, after=onto.version)

    @uses_tables
    def delete(self, condition: str, *, onto: Any) -> Commit:
        """Remove the rows that a condition of ours matches; durable when this returns."""
        before, known = onto.version, self.files(onto)
        onto = self._own(onto)
        onto.delete(condition)
        onto.checkout_latest()
        fresh = self.files(onto) - known - {self.manifest(onto.version)}
        self.file_store.settle(fresh, new_folders=True)
        return self._committed(onto, fresh, after=before)

    @uses_tables
    def add_columns(self, fields: list[pa.Field], *, onto: Any) -> Commit:
        """Add columns that are null in every row there is; writes no data."""
        before, onto = onto.version, self._own(onto)
        onto.add_columns(pa.schema(fields))
        onto.checkout_latest()
        return self._committed(onto, set(), after=before)

    @uses_tables
    def back_to(self, version: int) -> Any:
        """The dataset at a new version with the rows of this one; drops what came after, none of it acknowledged."""
        import lance

        self._version(version).restore()
        self.file_store.settle_all()
        return lance.dataset(self.file_store.uri, storage_options=self.file_store.options)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Raise errors of ours for what a reader or writer raises over damaged or missing files, naming the file.

        StorageUnavailableError when they cannot be reached at all: then nothing says that they are damaged.
        """
        try:
            yield
        except VecrollbackError:
            raise
        except BaseException as error:
            ours = translated(error, f"a file of table {self.name}")
            if ours is None:
                raise
            self.file_store.require_reachable()
            damage = self._damage() if isinstance(ours, CorruptArtifactError) else ""
            raise (CorruptArtifactError(damage, hint=MEND_TABLE) if damage else ours) from error

    def small_rows(self, dataset: Any) -> int:
        """Fragments of fewer rows are so many that merging them pays; 0 when none are."""
        rows = [fragment.metadata.num_rows for fragment in dataset.get_fragments()]
        crowded = (tier for tier in _TIERS if sum(count < tier for count in rows) > _FRAGMENTS_OF_A_TIER)
        return next(crowded, 0)

    @uses_tables
    def compact(
        self,
        *,
        onto: Any,
        digests: Mapping[str, str],
        purge: bool = False,
        below: int | None = None,
        in_order: bool = False,
    ) -> Commit:
        """Merge small fragments and drop replaced rows; `purge`: also where few were replaced.

        `in_order`: the rows keep their numbers. `below`: merge only fragments of fewer rows, see `small_rows`; None:
        all that are not of full size. `digests`: those that the catalog has. Raises CorruptArtifactError when a file
        that would be read to write a new one differs from its digest: the new one would have a sound digest and the
        damage of the old.
        """
        from lance.optimize import Compaction

        onto = self._own(onto)
        options: Any = {"materialize_deletions_threshold": 0.0 if purge else 0.1}
        tasks = Compaction.plan(onto, options | ({} if below is None else {"target_rows_per_fragment": below})).tasks
        if in_order and not (tasks := _last(tasks, onto)):
            if below is None:
                return self.described(onto, known=digests)
            # Small fragments before a large one: they are merged with it.
            tasks = _last(Compaction.plan(onto, options).tasks, onto)
        fragments = [fragment for task in tasks for fragment in task.fragments]
        self.require_sound(self.named_by(fragments), digests)
        before = self.file_store.names(_TRANSACTIONS)
        rewritten = [task.execute(onto) for task in tasks]
        # Lance's own `compact_files` commits before anything is synced: a power loss leaves a version without its data.
        self._settled([fragment for one in rewritten for fragment in one.new_fragments])
        reach("table.data_synced")
        Compaction.commit(onto, rewritten)
        onto.checkout_latest()
        # Lance commits twice, and writes what it commits beside the manifests: all that the catalog does not know yet,
        # but for what it wrote so before, which is as many files as there were commits in the last minutes.
        self.file_store.settle(sorted(self.names() - digests.keys() - {f"{_TRANSACTIONS}/{name}" for name in before}))
        return self.described(onto, known=digests)

    def require_sound(
        self, names: Iterable[str], digests: Mapping[str, str], *, hint: str = MEND_TABLE, all_known: bool = False
    ) -> None:
        """Read these files. Raises CorruptArtifactError naming the first that is missing or differs from its digest.

        A file without a digest passes unless `all_known`: a check says that it could not be examined.
        """
        for name in sorted(names):
            try:
                found: str | None = self.file_store.digest(name)
            except FileNotFoundError:
                found = None
            recorded = digests.get(name, None if all_known else found)
            if found is None or found != recorded:
                fact = "changed after it was written" if found else "missing"
                raise CorruptArtifactError(f"{name} of table {self.name} is {fact}", hint=hint)

    def names(self) -> set[str]:
        """Paths of all files there are, relative to the table."""
        return {entry.name for entry in self.file_store.entries()}

    def digest(self, name: str) -> str:
        """SHA-256 of a file as it is now. Raises FileNotFoundError."""
        return self.file_store.digest(name)

    @uses_tables
    def purge_versions(self, digests: Mapping[str, str], *, onto: Any) -> None:
        """Remove whatever is not of this version, whoever reads it. Call it after the catalog names the version.

        `digests`: those that the catalog has.
        """
        for name in self._manifests() - {self.manifest(onto.version)}:
            self._is_sound_or_gone(name, digests)
        with self.reported():
            self._own(onto).cleanup_old_versions(
                older_than=dt.timedelta(0), delete_unverified=True, error_if_tagged_old_versions=False
            )

    def old_versions(self, newest: int, keep: Set[int] = frozenset(), age: float = KEEP_SECONDS) -> list[int]:
        """Versions before the newest that are not to be kept and were written more than `age` seconds ago."""
        since = time.time() - age
        stems = {entry.name.removesuffix(".manifest"): entry.modified for entry in self.file_store.entries("_versions")}
        versions = {2**64 - 1 - int(stem): modified for stem, modified in stems.items() if stem.isdigit()}
        return sorted(v for v, modified in versions.items() if v < newest and v not in keep and modified < since)

    def many_old_versions(self, newest: int, keep: Set[int] = frozenset(), age: float = KEEP_SECONDS) -> list[int]:
        """The same where they are so many that removing them after a write pays: for that every manifest is read."""
        old = self.old_versions(newest, keep, age)
        return old if len(old) > _PAYING_SHARE * len(self.versions_above(0)) else []

    @uses_tables
    def forget_versions(self, versions: Iterable[int], digests: Mapping[str, str], *, onto: Any) -> None:
        """Remove old versions, and the files that only they consist of. Call it after the catalog names `onto`.

        The caller knows that nobody reads them. `digests`: those that the catalog has. Raises CorruptArtifactError when
        the manifest of a version that stays is damaged: Lance reads them all.
        """
        sound = [version for version in versions if self._is_sound_or_gone(self.manifest(version), digests)]
        reach("table.forgetting")
        if sound:
            self.require_sound(self._manifests(), digests)
            with self.reported():
                self._own(onto).cleanup_old_versions(versions=sound, error_if_tagged_old_versions=False)

    def _manifests(self) -> set[str]:
        """Paths of the manifests that are there, relative to the table."""
        return {f"_versions/{name}" for name in self.file_store.names("_versions") if name.endswith(".manifest")}

    def _is_sound_or_gone(self, name: str, digests: Mapping[str, str]) -> bool:
        """Whether a manifest that is to go can be read; else it is removed. Over some damage Lance ends the process."""
        try:
            self.require_sound([name], digests)
        except CorruptArtifactError:
            self.file_store.remove(name)
            return False
        return True

    @uses_tables
    def described(self, dataset: Any, known: Iterable[str] = ()) -> Commit:
        """A version with the digests of all its files but the known ones; reads them."""
        names = self.files(dataset) - set(known)
        return Commit(dataset, {name: self.file_store.digest(name) for name in names})

    @uses_tables
    def sound(self, version: int, digests: Mapping[str, str]) -> bool:
        """Whether every file of this version has its recorded digest; reads them."""
        manifest = self.manifest(version)
        try:
            # Before it is opened: over some damage Lance ends the process.
            if digests.get(manifest) != self.file_store.digest(manifest):
                return False
            files = self.described(self.at(version)).files
        except (CorruptArtifactError, OSError):
            return False
        return all(digests.get(name) == digest for name, digest in files.items())

    def manifest(self, version: int) -> str:
        """Path of a version's manifest, relative to the table."""
        return f"_versions/{2**64 - 1 - version:020d}.manifest"

    def files(self, dataset: Any) -> set[str]:
        """Paths, relative to the table, of every file that a version consists of, its manifest included."""
        names = {self.manifest(dataset.version)}
        for fragment in dataset.get_fragments():
            names |= {f"data/{file.path}" for file in fragment.metadata.files}
            if deletion := fragment.deletion_file():
                names.add(deletion)
        return names

    def _own(self, dataset: Any) -> Any:
        """The same version, opened for this alone: nobody may read a dataset of Lance while it is changed."""
        return self._version(dataset.version)

    def _committed(self, dataset: Any, names: set[str], *, after: int) -> Commit:
        reach("table.committed")
        if dataset.version != after + 1:
            # Lance put the commit on top of another process's, which this one knows nothing of
            raise HeadMovedError(self.name, expected=f"version {after}", found=f"version {dataset.version - 1}")
        manifest = self.manifest(dataset.version)
        self.file_store.settle([manifest])
        self._opened = dataset
        return Commit(dataset, {name: self.file_store.digest(name) for name in names | {manifest}})

    def _settled(self, fragments: list[Any], *, known: Set[str] = frozenset()) -> set[str]:
        """The files that these fragments consist of but for the known ones, made durable."""
        fresh = self.named_by(fragments) - known
        self.file_store.settle(fresh, new_folders=True)
        return fresh

    def _version(self, version: int) -> Any:
        import lance

        return lance.dataset(self.file_store.uri, version=version, storage_options=self.file_store.options)

    def _acknowledged(self, known: int, digests: Mapping[str, str]) -> Any:
        """The version that the catalog names; manifest and lists of deleted rows have their digests."""
        manifest = self.manifest(known)
        if not self.file_store.exists(manifest):
            raise self._missing(known)
        self.require_sound([manifest], digests)  # before it is opened: over some damage Lance ends the process
        base = self.at(known)
        self.require_sound(filter(None, (one.deletion_file() for one in base.get_fragments())), digests)
        return base

    def _set_aside(self, version: int) -> None:
        torn = self.manifest(version)
        # Kept: what made it unreadable may have been passing.
        self.file_store.move(torn, torn.removesuffix(".manifest") + ".torn")

    def _missing(self, version: int) -> CorruptArtifactError:
        above = self.versions_above(version)
        if above:
            return CatalogOlderError(self.name, named=version, newest=max(above))
        return CorruptArtifactError(f"version {version} of table {self.name} is missing", hint=MEND_TABLE)

    def _require_whole(self, newest: Any, known: Set[str]) -> None:
        """Raises CorruptArtifactError unless the files that came after the known ones are there, whole and readable.

        That a file exists says nothing: after a power loss it may be short, or empty, under its own name.
        """
        fresh = [one for one in newest.get_fragments() if self.named_by([one.metadata]) - known]
        damage = self._size_damage(fresh, known)
        if damage:
            raise CorruptArtifactError(damage, hint=MEND_TABLE)
        newest.count_rows()
        if fresh:
            for _ in newest.scanner(fragments=fresh).to_batches():
                pass

    def _damage(self) -> str:
        """What is wrong with a file of the version that was opened last, by presence and size; "" when nothing is."""
        with suppress(Exception):  # this only names what another error is about
            return self._size_damage(self._opened.get_fragments(), frozenset())
        return ""

    def _size_damage(self, fragments: Iterable[Any], known: Set[str]) -> str:
        sizes = {entry.name: entry.bytes for entry in self.file_store.entries()}
        for fragment in fragments:
            wanted = {f"data/{file.path}": file.file_size_bytes for file in fragment.metadata.files}
            if deletion := fragment.deletion_file():
                wanted[deletion] = None
            for name in wanted.keys() - known:
                if name not in sizes:
                    return f"{name} of table {self.name} is missing"
                if wanted[name] not in (None, sizes[name]):
                    return f"{name} of table {self.name} has {sizes[name]} bytes; it was written with {wanted[name]}"
        return ""

    def named_by(self, fragments: Iterable[Any]) -> set[str]:
        """Paths, relative to the table, of the files of some fragments' metadata."""
        names: set[str] = set()
        for fragment in fragments:
            names |= {f"data/{file.path}" for file in fragment.files}
            if fragment.deletion_file:
                names.add(fragment.deletion_file.path(fragment.id))
        return names

    @contextmanager
    def _readable(self, version: int) -> Iterator[None]:
        """As `readable`; what cannot be reached is not damaged. Raises StorageUnavailableError for it."""
        try:
            with readable(f"version {version} of table {self.file_store.uri}"):
                yield
        except CorruptArtifactError:
            self.file_store.require_reachable()
            if not self.file_store.exists(self.manifest(version)):
                raise self._missing(version) from None
            raise

    def versions_above(self, known: int) -> list[int]:
        """Versions after a known one whose manifests are there, whole or not."""
        # Names go down as versions go up; hundreds are of the last minutes, of which few or none come after it.
        before = self.manifest(known).removeprefix("_versions/")
        names = [name for name in self.file_store.names("_versions") if name < before and name.endswith(".manifest")]
        stems = [name.removesuffix(".manifest") for name in names]
        return [2**64 - 1 - int(stem) for stem in stems if stem.isdigit()]


def _last(tasks: Sequence[Any], dataset: Any) -> list[Any]:
    """The tasks behind every fragment that stays, in order: Lance puts what it rewrote after what it did not."""
    place = {fragment.fragment_id: number for number, fragment in enumerate(dataset.get_fragments())}
    begins = {min(place[one.id] for one in task.fragments): task for task in tasks}
    staying = set(place.values()) - {place[one.id] for task in tasks for one in task.fragments}
    return [begins[number] for number in sorted(begins) if number > max(staying, default=-1)]
