"""Lance tables whose commits are on disk before anybody hears of them.

Lance writes without syncing (measured with strace: no fsync at all). So every write here goes in three steps: data
files, synced; then the commit that makes a version of them; then the version's manifest, synced. The caller names
the version in the catalog last. A version newer than the catalog's belongs to a writer that died: `recover` decides.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from vecrollback import durable
from vecrollback.errors import CorruptArtifactError, HeadMovedError, VecrollbackError
from vecrollback.faults import reach


@dataclass(frozen=True, slots=True)
class Commit:
    """A durable version of a table and the SHA-256 of each file it brought, by path inside the table."""

    dataset: Any
    files: Mapping[str, str]

    @property
    def version(self) -> int:
        return int(self.dataset.version)


_COMPACT_EVERY = 64
_KEEP_VERSIONS = dt.timedelta(minutes=10)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raise CorruptArtifactError for whatever a reader of damaged bytes raises: Lance panics over some of them."""
    try:
        yield
    except VecrollbackError:
        raise
    except BaseException as error:
        # a panic of Rust code reaches Python as a BaseException of a class that cannot be imported
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CorruptArtifactError(
            f"{what} cannot be read: {error}",
            hint="restore the table's directory from a backup, or `vecrollback snapshot import` a bundle",
        ) from error


class DurableTable:
    """One Lance dataset on a local disk. Versions are immutable; one writer at a time holds the caller's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: Any = None

    def exists(self) -> bool:
        return (self.path / "_versions").is_dir()

    def require(self) -> None:
        """Raises CorruptArtifactError unless the table is there."""
        if not self.exists():
            raise CorruptArtifactError(f"the table {self.path} is gone", hint="the same command again writes it anew")

    def create(self, schema: pa.Schema, *, stable_row_ids: bool = False) -> Commit:
        """Lay out an empty table, version 1. Idempotent."""
        import lance

        if not self.exists():
            lance.write_dataset(schema.empty_table(), str(self.path), enable_stable_row_ids=stable_row_ids)
            durable.sync_tree(self.path)
        return self.described(lance.dataset(str(self.path), version=1))

    def at(self, version: int) -> Any:
        """The dataset at exactly this version. Raises CorruptArtifactError when it cannot be read."""
        import lance

        opened = self._opened
        if opened is not None and opened.version == version:
            return opened
        with readable(f"version {version} of table {self.path}"):
            opened = lance.dataset(str(self.path), version=version)
        self._opened = opened
        return opened

    def recover(self, known: int) -> Any:
        """The newest readable version, at least `known`; sets torn ones above it aside.

        A power loss may leave the name of a manifest without its bytes. Nothing names such a version.
        """
        import lance

        for version in sorted(self._versions_above(known), reverse=True):
            try:
                with readable(f"version {version} of table {self.path}"):
                    newest = lance.dataset(str(self.path), version=version)
                    newest.count_rows()
            except CorruptArtifactError:
                torn = self._manifest(version)
                torn.rename(torn.with_suffix(".torn"))  # kept: what kept it from being read may have been passing
                continue
            durable.sync_tree(self.path)
            return newest
        return self.at(known)

    def append(self, rows: pa.Table, *, onto: Any) -> Commit:
        """Add rows; the new version is durable when this returns."""
        import lance

        fragments = lance.fragment.write_fragments(rows, onto, schema=onto.schema, mode="append")
        names = self._sync_data(fragments)
        reach("table.data_synced")
        operation = lance.LanceOperation.Append(fragments)
        committed = lance.LanceDataset.commit(onto, operation, read_version=onto.version)
        return self._committed(committed, names, after=onto.version)

    def merge(self, key: str, rows: pa.Table, *, onto: Any) -> Commit:
        """Insert rows or replace those with the same key; durable when this returns. Raises HeadMovedError."""
        import lance

        started = time.time()
        merge = onto.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
        transaction, _ = merge.execute_uncommitted(rows)
        names = self._sync_data([*transaction.operation.new_fragments, *transaction.operation.updated_fragments])
        names |= self._sync_deletions(since=started)
        reach("table.data_synced")
        try:
            committed = lance.LanceDataset.commit(onto, transaction)
        except lance.commit.CommitConflictError as error:
            raise HeadMovedError(self.path.stem, expected=f"version {onto.version}", found="a newer one") from error
        return self._committed(committed, names, after=onto.version)

    def add_columns(self, fields: list[pa.Field], *, onto: Any) -> Commit:
        """Add columns that are null in every row there is; writes no data."""
        before = onto.version
        onto.add_columns(pa.schema(fields))
        onto.checkout_latest()
        return self._committed(onto, set(), after=before)

    def back_to(self, version: int) -> Any:
        """The dataset at a new version with the rows of this one; drops what came after, none of it acknowledged."""
        import lance

        lance.dataset(str(self.path), version=version).restore()
        durable.sync_tree(self.path)
        return lance.dataset(str(self.path))

    def worn(self, dataset: Any) -> bool:
        """Whether enough small fragments have gathered that a compaction pays."""
        return len(dataset.get_fragments()) > _COMPACT_EVERY

    def compact(self, *, onto: Any, purge: bool = False) -> Commit:
        """Merge small fragments and drop replaced rows; `purge`: also where few were replaced."""
        onto.optimize.compact_files(materialize_deletions_threshold=0.0 if purge else 0.1)
        onto.checkout_latest()
        durable.sync_tree(self.path)
        return self.described(onto)

    def forget_old_versions(self, *, onto: Any, purge: bool = False) -> None:
        """Remove what only old versions hold. Call it after the catalog names the new version."""
        age = dt.timedelta(0) if purge else _KEEP_VERSIONS
        onto.cleanup_old_versions(older_than=age, delete_unverified=purge, error_if_tagged_old_versions=False)

    def described(self, dataset: Any, known: Iterable[str] = ()) -> Commit:
        """A version with the digests of all its files but the known ones; reads them."""
        names = self.files(dataset) - set(known)
        return Commit(dataset, {name: durable.sha256_file(self.path / name) for name in names})

    def sound(self, version: int, digests: Mapping[str, str]) -> bool:
        """Whether every file of this version has its recorded digest; reads them."""
        manifest = self.manifest(version)
        try:
            # Before it is opened: over some damage Lance ends the process.
            if digests.get(manifest) != durable.sha256_file(self.path / manifest):
                return False
            files = self.described(self.at(version)).files
        except (CorruptArtifactError, OSError):
            return False
        return all(digests.get(name) == digest for name, digest in files.items())

    def manifest(self, version: int) -> str:
        """Path of a version's manifest, relative to the table."""
        return self._relative(self._manifest(version))

    def files(self, dataset: Any) -> set[str]:
        """Paths, relative to the table, of every file that a version consists of, its manifest included."""
        names = {self.manifest(dataset.version)}
        for fragment in dataset.get_fragments():
            names |= {f"data/{file.path}" for file in fragment.metadata.files}
            if deletion := fragment.deletion_file():
                names.add(deletion)
        return names

    def _committed(self, dataset: Any, names: set[str], *, after: int) -> Commit:
        reach("table.committed")
        if dataset.version != after + 1:
            # Lance put the commit on top of another process's, which this one knows nothing of
            raise HeadMovedError(self.path.stem, expected=f"version {after}", found=f"version {dataset.version - 1}")
        manifest = self._manifest(dataset.version)
        durable.sync_file(manifest)
        durable.sync_directory(manifest.parent)
        self._opened = dataset
        names = names | {self._relative(manifest)}
        return Commit(dataset, {name: durable.sha256_file(self.path / name) for name in names})

    def _sync_data(self, fragments: list[Any]) -> set[str]:
        fresh = {f"data/{file.path}" for fragment in fragments for file in fragment.files}
        durable.sync_files(self.path / name for name in fresh)
        durable.sync_directory(self.path / "data")
        durable.sync_directory(self.path)
        return fresh

    def _sync_deletions(self, *, since: float) -> set[str]:
        folder = self.path / "_deletions"
        if not folder.is_dir():
            return set()
        # a second of slack: file times are coarser than the clock
        fresh = [file for file in folder.iterdir() if file.stat().st_mtime >= since - 1]
        durable.sync_files(fresh)
        durable.sync_directory(folder)
        return {self._relative(file) for file in fresh}

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _manifest(self, version: int) -> Path:
        return self.path / "_versions" / f"{2**64 - 1 - version:020d}.manifest"

    def _versions_above(self, known: int) -> list[int]:
        names = [file.stem for file in (self.path / "_versions").glob("*.manifest")]
        versions = [2**64 - 1 - int(name) for name in names if name.isdigit()]
        return [version for version in versions if version > known]
