"""The vectors of a pair whose rows lie in a database.

Each batch is one version, as of a table on disk. Its digest is of the rows as they come back, so a row that somebody
changes in the database is what a changed byte of a file is: a check finds it, and nothing is built from it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.errors import CorruptArtifactError, PairStateError
from vecrollback.pairs.backend import RowFinder, VectorBackend
from vecrollback.pairs.vectors import KEY_COLUMNS, MEND_VECTORS, VectorRows, Vectors, matrix
from vecrollback.records import Metric
from vecrollback.records.arrays import FloatArray, Mask, Numbers, room_for
from vecrollback.storage.lance_table import Commit
from vecrollback.storage.local import reach

_DIGESTED = [*KEY_COLUMNS, "fingerprint", "vector"]
_WORTH_READING = 20
"""So many rows are read in the time that one is looked up."""
_LAYOUT = 1
"""The first version: the empty collection. Its digest is of what the collection was laid out for."""


@dataclass(frozen=True, slots=True)
class _Version:
    """What a commit carries instead of a dataset."""

    version: int


def batch_name(version: int) -> str:
    """How the catalog names the rows of a batch among the files of a pair."""
    return f"data/batch-{version:010d}"


class BackendVectors(Vectors):
    """Rows in a collection that belongs to one pair of one store. `owner`: these two, as the collection knows them."""

    def __init__(self, backend: VectorBackend, dimension: int, metric: Metric, owner: str) -> None:
        self.backend, self.dimension, self._metric, self._owner = backend, dimension, metric, owner
        self._batches = BatchTable(backend, f"{owner} {dimension} {metric}")
        self._sound: dict[int, str] = {}

    @property
    def files(self) -> BatchTable:
        """The batches, as what a check asks of files."""
        return self._batches

    def create(self) -> Commit:
        self.backend.create(self._owner, self.dimension, self._metric)
        return Commit(_Version(_LAYOUT), {batch_name(_LAYOUT): self._batches.layout})

    def append(self, rows: pa.Table, *, known: int) -> Commit:
        self._require_own()
        first, version = self.backend.count(known), known + 1
        numbers = pa.array(np.arange(first, first + rows.num_rows, dtype=np.int64))
        numbered = rows.add_column(0, pa.field("row", pa.int64(), nullable=False), numbers)
        self.backend.write(numbered)
        reach("backend.written")
        name = batch_name(version)
        # What is borrowed comes back as its owner keeps it, which differs in the last bits.
        digest = self._batches.digest(name) if self.backend.borrows else _digest(rows)
        return Commit(_Version(version), {name: digest})

    def recover(self, known: int, files: Mapping[str, str]) -> Commit:
        """Where the next batch goes on: after the last one that the catalog names.

        What came after that a dead writer left: it is kept where a batch is written as a whole, else removed.
        """
        self._require_own()
        newest, end = max([known, *map(_number, files)]), self.backend.count()
        acknowledged = self.backend.count(newest)
        if end > acknowledged and self.backend.atomic and (fresh := self._fresh_batches(newest, acknowledged, end)):
            return Commit(_Version(newest + len(fresh)), fresh)
        if end > acknowledged:
            self.backend.truncate(acknowledged)
        return Commit(_Version(newest), {})

    def _fresh_batches(self, newest: int, first: int, end: int) -> dict[str, str]:
        """Digests of the batches after `newest`, when each follows the one before; nothing otherwise."""
        fresh: dict[str, str] = {}
        for version, digest in self._batches.digests(first, end):
            if version != newest + len(fresh) + 1:
                return {}
            fresh[batch_name(version)] = digest
        return fresh

    def hide(self, tombstones: Mapping[str, int]) -> None:
        """Hide deleted documents from clients of other programs; answers of vecrollback never hold them anyway."""
        self._require_own()
        self.backend.delete(tombstones)

    def keys(self, version: int, *, after: int = 0, columns: Sequence[str] = KEY_COLUMNS) -> pa.Table:
        return self._collected(list(columns), after, version)

    def made_after(self, version: int, seq: int) -> pa.Table:
        if isinstance(self.backend, RowFinder):
            return self.backend.made_after(seq, ["doc_id", "seq"], self.rows(version))
        keys = self.keys(version, columns=["doc_id", "seq"])
        return keys.filter(pc.greater(keys["seq"], seq))

    def have_rows(self, version: int, ids: pa.ChunkedArray) -> pa.ChunkedArray:
        finder = self._finder(version, len(ids))
        if finder is None:
            return super().have_rows(version, ids)
        rows = finder.matching("doc_id", ids.unique().to_pylist(), ["doc_id"], self.rows(version))
        return pc.is_in(ids, value_set=rows["doc_id"])

    def rows_of_texts(self, version: int, hashes: Sequence[bytes]) -> pa.Table | None:
        finder = self._finder(version, len(hashes))
        columns = ["row", "ordinal", "content_hash", "fingerprint"]
        return finder and finder.matching("content_hash", hashes, columns, self.rows(version))

    def _finder(self, version: int, count: int) -> RowFinder | None:
        """What looks up so many values; None where it would take longer than to read all rows."""
        backend = self.backend
        return backend if isinstance(backend, RowFinder) and count * _WORTH_READING < self.rows(version) else None

    def vectors(self, version: int, *, after: int = 0) -> FloatArray:
        end = self.rows(version)
        array = room_for(max(0, end - after), self.dimension)
        first = 0
        for batch in self._numbered(["vector"], after, end):
            array[first : first + batch.num_rows] = matrix(pa.chunked_array([batch["vector"]]), self.dimension)
            first += batch.num_rows
        return array

    def blocks(self, version: int) -> Iterator[tuple[int, FloatArray]]:
        first = 0
        for batch in self._numbered(["vector"], 0, self.rows(version)):
            yield first, matrix(pa.chunked_array([batch["vector"]]), self.dimension)
            first += batch.num_rows

    def fingerprints(self, version: int) -> pa.ChunkedArray:
        return self._collected(["fingerprint"], 0, version)["fingerprint"]

    def scan(self, version: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self._numbered(columns, 0, self.rows(version))

    def take(self, version: int, rows: Numbers, columns: Sequence[str]) -> pa.Table:  # noqa: ARG002, rows never change
        numbers, places = np.unique(rows, return_inverse=True)
        table = self.backend.take(numbers, columns)
        if table.num_rows != len(numbers):
            raise self._gone(len(numbers) - table.num_rows)
        return table.take(pa.array(places))

    def read(self, version: int, rows: Numbers) -> VectorRows:
        table = self.take(version, rows, ["ordinal", "start", "end", "vector"])
        spans = np.stack([np.asarray(table["start"]), np.asarray(table["end"])], axis=1)
        return VectorRows(np.asarray(table["ordinal"]), spans, matrix(table["vector"], self.dimension))

    def rows(self, version: int) -> int:
        return self.backend.count(version)

    def require_sound(self, version: int, digests: Mapping[str, str]) -> None:
        self._batches.require_sound(self._batches.files(self._batches.at(version)), digests, hint=MEND_VECTORS)

    def require_sound_after(self, version: int, after: int) -> None:
        """Nothing: the database answers for what it gives back; a check compares it."""

    def require_sound_rows(self, version: int, rows: Numbers) -> None:
        """Nothing, for the same reason."""

    def sound_rows(self, version: int, rows: Numbers, digests: Mapping[str, str]) -> Mask:
        if not len(rows):
            return np.empty(0, np.bool_)
        batches = np.asarray(self.take(version, rows, ["batch"])["batch"])
        sound = {int(one): self._has_digest_of(int(one), digests) for one in np.unique(batches)}
        return np.array([sound[int(one)] for one in batches], np.bool_)

    def _has_digest_of(self, version: int, digests: Mapping[str, str]) -> bool:
        recorded = digests.get(batch_name(version))
        if recorded is None or self._sound.get(version) == recorded:
            return True  # a batch without a recorded digest is for a check to report
        if self._batches.digest(batch_name(version)) != recorded:
            return False
        self._sound[version] = recorded
        return True

    def _collected(self, columns: Sequence[str], first: int, version: int) -> pa.Table:
        batches = list(self._numbered(columns, first, self.rows(version)))
        if batches:
            return pa.Table.from_batches(batches)
        return self.backend.take(np.empty(0, np.int64), columns)

    def _numbered(self, columns: Sequence[str], first: int, end: int) -> Iterator[pa.RecordBatch]:
        """Rows by number. Their place in what comes back is their number, so none may be missing."""
        count = 0
        for batch in self.backend.scan(columns, first, end):
            count += batch.num_rows
            yield batch
        if count != max(0, end - first):
            raise self._gone(max(0, end - first) - count)

    def _gone(self, count: int) -> CorruptArtifactError:
        return CorruptArtifactError(f"{count} rows of {self.backend.place} are gone", hint=MEND_VECTORS)

    def _require_own(self) -> None:
        owner = self.backend.owner()
        if owner is None:
            raise CorruptArtifactError(f"{self.backend.place} is gone", hint=MEND_VECTORS)
        if owner != self._owner:
            raise PairStateError(
                f"{self.backend.place} belongs to another store or pair, and is only read here",
                hint="a copy of a store shares the databases of the original; build a pair of its own in it",
            )


class BatchTable:
    """The batches of a collection under names and digests, as a table on disk has its files."""

    def __init__(self, backend: VectorBackend, layout: str) -> None:
        self._backend = backend
        self.name = backend.place
        self.layout = sha256(layout.encode()).hexdigest()

    def require(self) -> None:
        """Raises CorruptArtifactError unless the collection is there."""
        if self._backend.owner() is None:
            raise CorruptArtifactError(f"{self.name} is gone", hint="the same command again lays it out anew")

    def manifest(self, version: int) -> str:
        """The newest batch of a version."""
        return batch_name(version)

    def at(self, version: int) -> int:
        return version

    def files(self, version: int) -> set[str]:
        """All batches that a version consists of."""
        return {batch_name(number) for number in range(_LAYOUT, version + 1)}

    def names(self) -> set[str]:
        """The batches that have rows now, and the layout."""
        if self._backend.owner() is None:
            return set()
        batches = self._backend.scan(["batch"], 0, self._backend.count())
        numbers = {_LAYOUT, *(int(one) for batch in batches for one in np.unique(np.asarray(batch["batch"])))}
        return {batch_name(number) for number in numbers}

    def digest(self, name: str) -> str:
        """SHA-256 of a batch as it is now. Raises FileNotFoundError for one without rows."""
        return self._named([name])[name]

    def sound(self, version: int, digests: Mapping[str, str]) -> bool:
        """Whether every batch of a version has its recorded digest; reads them."""
        names = self.files(version)
        try:
            now = self._named(names)
        except (FileNotFoundError, CorruptArtifactError):
            return False
        return all(digests.get(name) == now[name] for name in names)

    def require_sound(
        self, names: Iterable[str], digests: Mapping[str, str], *, hint: str = MEND_VECTORS, all_known: bool = False
    ) -> None:
        """Read these batches. Raises CorruptArtifactError naming the first that is missing or differs."""
        wanted = sorted(names)
        try:
            now = self._named(wanted)
        except FileNotFoundError as error:
            raise CorruptArtifactError(f"{error} of {self.name} is missing", hint=hint) from None
        for name in wanted:
            if now[name] != digests.get(name, None if all_known else now[name]):
                raise CorruptArtifactError(f"{name} of {self.name} is changed after it was written", hint=hint)

    def _named(self, names: Collection[str]) -> dict[str, str]:
        """Digest of each; in one pass where that is all there are. Raises FileNotFoundError with the missing name."""
        if self._backend.owner() is None:
            raise FileNotFoundError(min(names, default=""))
        found = {batch_name(_LAYOUT): self.layout}
        numbers = sorted(_number(name) for name in names if name not in found)
        if numbers:
            # batches stand in the order of their numbers, so one range of rows holds all that are asked for
            first, end = self._backend.count(numbers[0] - 1), self._backend.count(numbers[-1])
            found |= {batch_name(version): digest for version, digest in self.digests(first, end)}
        for name in sorted(names):
            if name not in found:
                raise FileNotFoundError(name)
        return found

    def digests(self, first: int, end: int) -> Iterator[tuple[int, str]]:
        """Number and digest of each batch among these rows, in their order."""
        pending: list[pa.RecordBatch] = []
        current = -1
        for page in self._backend.scan(_DIGESTED, first, end):
            numbers = np.asarray(page["batch"])
            edges = [0, *(1 + np.flatnonzero(np.diff(numbers))).tolist(), len(numbers)]
            for begin, stop in itertools.pairwise(edges):
                if begin == stop:
                    continue
                if int(numbers[begin]) != current and pending:
                    yield current, _digest(pa.Table.from_batches(pending))
                    pending = []
                current = int(numbers[begin])
                pending.append(page.slice(begin, stop - begin))
        if pending:
            yield current, _digest(pa.Table.from_batches(pending))


def _digest(rows: pa.Table) -> str:
    """SHA-256 of rows, however they are cut into pages."""
    sums = sha256()
    for name in _DIGESTED[:-1]:
        values = [value.hex() if isinstance(value, bytes) else value for value in rows[name].to_pylist()]
        sums.update(json.dumps([name, values]).encode())
    dimension = rows.schema.field("vector").type.list_size
    sums.update(matrix(rows["vector"], dimension).astype("<f4", copy=False).tobytes())
    return sums.hexdigest()


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
