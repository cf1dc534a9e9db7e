"""Vectors with their provenance: one append-only Lance table per pair.

Rows are never changed. For a document the rows of its highest (seq, batch) count, the others are history. So any
number of writers may append, and a batch written twice changes nothing. Vectors that exist for a content are found here
again, so that nothing is embedded twice.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.errors import CorruptArtifactError, HeadMovedError
from vecrollback.pairs.givers import Gift
from vecrollback.records.arrays import FloatArray, room_for
from vecrollback.records.bridges import BRIDGED
from vecrollback.storage import FileStore
from vecrollback.storage.base import DigestedTable
from vecrollback.storage.forks import uses_tables
from vecrollback.storage.lance_table import Commit, LanceTable
from vecrollback.storage.sound_files import AskDigests, SoundFiles, no_digests

_log = logging.getLogger(__name__)

MEND_VECTORS = (
    "import a bundle of the pair under another name (`vecrollback snapshot import FILE --name NEW`), or re-embed it "
    "under one: sound vectors of other pairs of its model are taken over"
)

_PAGE = 8_192

KEY_COLUMNS = ["doc_id", "seq", "batch", "ordinal", "start", "end", "content_hash"]


def schema(dimension: int) -> pa.Schema:
    """Columns of the table. `start`, `end`: characters of the chunk; `content_hash`: of the document's text.

    The rows of one document change are written together, by `ordinal` from 0. A text without chunks has one row of
    ordinal -1 and a zero vector: it says that the change was seen.
    """
    return pa.schema(
        [
            pa.field("doc_id", pa.string(), nullable=False),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("batch", pa.int64(), nullable=False),
            pa.field("ordinal", pa.int32(), nullable=False),
            pa.field("start", pa.int32(), nullable=False),
            pa.field("end", pa.int32(), nullable=False),
            pa.field("content_hash", pa.binary(16), nullable=False),
            pa.field("fingerprint", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
        ]
    )


@dataclass(frozen=True, slots=True)
class VectorRows:
    """Some rows of a table: ordinals (n,), spans (n, 2), vectors (n, dimension)."""

    ordinals: NDArray[np.int32]
    spans: NDArray[np.int32]
    vectors: FloatArray


class Vectors:
    """The vectors of one pair. Writers hold the pair's lock; readers open a version that the catalog names.

    `digests`: asks the catalog for those of some of the table's files.
    """

    def __init__(self, place: FileStore, dimension: int, digests: AskDigests = no_digests) -> None:
        self.dimension = dimension
        self.table = LanceTable(place)
        self._digests, self._compared = digests, SoundFiles(place)

    @property
    def files(self) -> DigestedTable:
        """What the vectors consist of, by name and digest."""
        return self.table

    @uses_tables
    def create(self) -> Commit:
        """Lay out an empty table, in place of what a process left that died before it registered its pair.

        The caller holds the pair's lock and knows that no pair has its name.
        """
        self.table.discard()
        return self.table.create(schema(self.dimension))

    @uses_tables
    def append(self, rows: pa.Table, *, known: int) -> Commit:
        """Append rows after version `known`, which is the newest: call `recover` once before the first append."""
        with self.table.reported():
            return self.table.append(rows, onto=self.table.at(known))

    @uses_tables
    def recover(self, known: int, files: Mapping[str, str]) -> Commit:
        """The newest durable version; what a dead writer finished is kept, its batches need no second embedding.

        What a writer left that had lost its lock is dropped: another one may have embedded the same changes.
        `files`: those whose digests the catalog has; the commit brings the others.
        """
        with self.table.reported():
            # The newest version is kept only if one writer made all that came after the acknowledged one. A restore
            # moved the pair back behind versions that were acknowledged, too: some of those may be cleaned away.
            dataset = self.table.recover(known, files)
            acknowledged = self.newest_acknowledged(known, files, upto=dataset.version)
            if dataset.version != acknowledged and not self._in_turn(acknowledged, dataset):
                dataset = self.table.back_to(acknowledged)
            return self.table.described(dataset, known=files)

    def newest_acknowledged(self, known: int, files: Mapping[str, str], *, upto: int | None = None) -> int:
        """The newest version, at least `known`, whose manifest the catalog has a digest of."""
        above = (version for version in self.table.versions_above(known) if upto is None or version <= upto)
        return max((version for version in above if self.table.manifest(version) in files), default=known)

    @uses_tables
    def compact(self, *, known: int, files: Mapping[str, str], below: int | None) -> Commit:
        """Merge small fragments of version `known`, which is the newest; the rows keep their numbers.

        `below`, `files`: see `LanceTable.compact`. Raises HeadMovedError when somebody else wrote meanwhile.
        """
        with self.table.reported():
            before = self.table.at(known)
            rows = before.count_rows()
            commit = self.table.compact(onto=before, digests=files, below=below, in_order=True)
            if commit.dataset.count_rows() != rows:  # Lance lets an append pass that came in between
                raise HeadMovedError(self.table.name, expected=f"{rows} rows", found=commit.dataset.count_rows())
            return commit

    def _in_turn(self, known: int, newest: Any) -> bool:
        """Whether every version after `known` adds the batch of its own number alone: nobody committed in between.

        One that adds no rows is a compaction that nobody acknowledged: it is made again, and need not be believed.
        """
        numbers = np.asarray(newest.to_table(columns=["batch"])["batch"])
        first = self.rows(known)
        for version in range(known + 1, newest.version + 1):
            try:
                end = self.rows(version)
            except CorruptArtifactError:  # it was set aside
                return False
            if end == first or np.any(numbers[first:end] != version):
                return False
            first = end
        return True

    @uses_tables
    def keys(self, version: int, *, after: int = 0, columns: Sequence[str] = KEY_COLUMNS) -> pa.Table:
        """Rows without their vectors, in the order they were written; `after`: skip that many first rows."""
        with self.table.reported():
            return self._scan(version, list(columns), after)

    @uses_tables
    def made_after(self, version: int, seq: int) -> pa.Table:
        """`doc_id` and `seq` of the rows that were made for changes after this one, in any order."""
        with self.table.reported():
            return self.table.at(version).to_table(columns=["doc_id", "seq"], filter=f"seq > {int(seq)}")

    def have_rows(self, version: int, ids: pa.ChunkedArray) -> pa.ChunkedArray:
        """Which of these documents have rows, as booleans of the same length."""
        return pc.is_in(ids, value_set=self.keys(version, columns=["doc_id"])["doc_id"])

    def rows_of_texts(self, version: int, hashes: Sequence[bytes]) -> pa.Table | None:  # noqa: ARG002, for a database
        """The rows of texts by content hash: `row`, `ordinal`, `content_hash`, `fingerprint`, ascending by `row`.

        None where it is quicker to read these columns of all rows.
        """
        return None

    @uses_tables
    def vectors(self, version: int, *, after: int = 0) -> FloatArray:
        """Vectors in the order of `keys`, shape (rows, dimension); past a gigabyte in a map, see `room_for`."""
        with self.table.reported():
            if after:
                return matrix(self._scan(version, ["vector"], after)["vector"], self.dimension)
            array = room_for(self.rows(version), self.dimension)
            for first, block in self.blocks(version):
                array[first : first + len(block)] = block
            return array

    def blocks(self, version: int) -> Iterator[tuple[int, FloatArray]]:
        """First row and vectors of each block, in the order of `keys`; never all of them in memory."""
        first = 0
        with self.table.reported():
            for batch in self.table.at(version).scanner(columns=["vector"], scan_in_order=True).to_batches():
                yield first, matrix(pa.chunked_array([batch["vector"]]), self.dimension)
                first += batch.num_rows

    @uses_tables
    def fingerprints(self, version: int) -> pa.ChunkedArray:
        """Provenance of every row, in the order of `keys`."""
        with self.table.reported():
            return self._scan(version, ["fingerprint"], 0)["fingerprint"]

    def scan(self, version: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows, in the order of `keys`."""
        yield from self.table.at(version).to_batches(columns=list(columns), batch_size=_PAGE)

    @uses_tables
    def take(self, version: int, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """These columns of rows by number, in the order asked for."""
        return self.table.at(version).take(rows.tolist(), columns=list(columns))

    @uses_tables
    def read(self, version: int, rows: NDArray[np.int64]) -> VectorRows:
        """Rows by number, in the order asked for."""
        with self.table.reported():
            table = self.take(version, rows, ["ordinal", "start", "end", "vector"])
        spans = np.stack([np.asarray(table["start"]), np.asarray(table["end"])], axis=1)
        return VectorRows(np.asarray(table["ordinal"]), spans, matrix(table["vector"], self.dimension))

    @uses_tables
    def rows(self, version: int) -> int:
        """How many rows there are, history included."""
        with self.table.reported():
            return int(self.table.at(version).count_rows())

    @uses_tables
    def require_sound(self, version: int, digests: Mapping[str, str]) -> None:
        """Compare every file of a version with its digest, reading them all. Raises CorruptArtifactError."""
        self.table.require_sound([self.table.manifest(version)], digests, hint=MEND_VECTORS)
        self.table.require_sound(self.table.files(self.table.at(version)), digests, hint=MEND_VECTORS)

    @uses_tables
    def require_sound_after(self, version: int, after: int) -> None:
        """Compare the files of all rows but the `after` first, for answers from them. Raises CorruptArtifactError."""
        self._require_sound(version, lambda dataset: _fragments_after(dataset, after)[0])

    @uses_tables
    def require_sound_rows(self, version: int, rows: NDArray[np.int64]) -> None:
        """The same with the files of these rows."""
        ascending = np.sort(rows)
        self._require_sound(version, lambda dataset: [one for one, any_ in _fragments_of(dataset, ascending) if any_])

    def _require_sound(self, version: int, fragments: Callable[[Any], Sequence[Any]]) -> None:
        # The manifest before it is opened: over some damage Lance ends the process.
        damage = self._compared.damage([self.table.manifest(version)], self._digests)
        if not damage:
            named = self.table.named_by([one.metadata for one in fragments(self.table.at(version))])
            damage = self._compared.damage(named, self._digests)
        for name, fact in sorted(damage.items()):
            raise CorruptArtifactError(f"{name} of table {self.table.name} is {fact}", hint=MEND_VECTORS)

    @uses_tables
    def sound_rows(self, version: int, rows: NDArray[np.int64], digests: Mapping[str, str]) -> NDArray[np.bool_]:
        """Which of these rows lie in files that have their digest; reads those files, each once."""
        lengths, sound = [], []
        for fragment, has_rows in _fragments_of(self.table.at(version), np.sort(rows)):
            files = {f"data/{file.path}" for file in fragment.metadata.files}
            damage = self._compared.damage(files, lambda _: digests) if has_rows else {}
            for name, fact in damage.items():
                _log.warning("vectors are not used again: %s of table %s is %s", name, self.table.name, fact)
            sound.append(has_rows and not damage)
            lengths.append(fragment.physical_rows)
        places = np.searchsorted(np.cumsum(lengths, dtype=np.int64), rows, side="right")
        return np.asarray(np.append(sound, False)[places], dtype=bool)

    def _scan(self, version: int, columns: list[str], after: int) -> pa.Table:
        # By row number, not by version: a compaction changes fragments and drops versions, never the order of rows.
        dataset = self.table.at(version)
        if not after:
            return dataset.to_table(columns=columns)
        fragments, before = _fragments_after(dataset, after)
        if not fragments:
            return pa.schema([dataset.schema.field(name) for name in columns]).empty_table()
        table = dataset.scanner(columns=columns, fragments=fragments, scan_in_order=True).to_table()
        return table.slice(after - before)


def _fragments_after(dataset: Any, after: int) -> tuple[list[Any], int]:
    """The fragments that hold rows from number `after` on, and how many rows stand before them."""
    fragments = dataset.get_fragments()
    before = 0
    while fragments and before + fragments[0].physical_rows <= after:
        before += fragments.pop(0).physical_rows
    return fragments, before


def _fragments_of(dataset: Any, ascending: NDArray[np.int64]) -> Iterator[tuple[Any, bool]]:
    """Every fragment, and whether one of these rows is in it."""
    first = 0
    for fragment in dataset.get_fragments():
        end = first + fragment.physical_rows
        yield fragment, bool(np.searchsorted(ascending, end) > np.searchsorted(ascending, first))
        first = end


def matrix(column: pa.ChunkedArray | None, dimension: int) -> FloatArray:
    """A fixed-size-list column as one float32 matrix, shape (rows, dimension).

    Raises CorruptArtifactError when the table holds vectors of another dimension than its pair is said to have.
    """
    if column is None or not len(column):
        return np.empty((0, dimension), dtype=np.float32)
    if column.type.list_size != dimension:
        raise CorruptArtifactError(
            f"the table holds vectors of {column.type.list_size} numbers, its pair has {dimension}",
            hint="the catalog was changed: put back the one from a backup",
        )
    flat = pc.list_flatten(column).combine_chunks() if column.num_chunks > 1 else pc.list_flatten(column.chunk(0))
    return np.asarray(flat, dtype=np.float32).reshape(-1, dimension)


def came_by_bridge(fingerprints: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which rows hold vectors that came over a bridge, by their provenance; shape (n,)."""
    return np.asarray(pc.starts_with(fingerprints, BRIDGED), dtype=bool)


def newest(keys: pa.Table, tombstones: dict[str, int]) -> NDArray[np.int64]:
    """Row numbers that count: of each document those of its highest (seq, batch), if not deleted since.

    A row's document is deleted when the ledger holds a tombstone with a higher seq.
    """
    if not keys.num_rows:
        return np.empty(0, dtype=np.int64)
    encoded = keys["doc_id"].combine_chunks().dictionary_encode()
    documents = np.asarray(encoded.indices, dtype=np.int64)
    seq, batch = np.asarray(keys["seq"]), np.asarray(keys["batch"])
    order = np.lexsort((batch, seq, documents))
    ends = np.append(np.flatnonzero(np.diff(documents[order])), len(order) - 1)
    last = order[ends]  # one row per document code, in code order
    keep = (seq == seq[last][documents]) & (batch == batch[last][documents])
    if tombstones:
        index = pc.index_in(encoded.dictionary, value_set=pa.array(list(tombstones), pa.string()))
        codes = np.asarray(pc.fill_null(index, -1))
        deleted_at = np.where(codes >= 0, np.fromiter(tombstones.values(), np.int64, len(tombstones))[codes], -1)
        keep &= seq > deleted_at[documents]
    return np.flatnonzero(keep)


@dataclass(frozen=True, slots=True)
class ChunkVectors:
    """The chunks of one text: spans of shape (n, 2) and vectors of shape (n, dimension); n is 0 for a blank text."""

    spans: NDArray[np.int32]
    vectors: FloatArray


class Giver(NamedTuple):
    """A table to take finished vectors from. `gift`: in which form; None for the very same embedder."""

    vectors: Vectors
    version: int
    gift: Gift | None = None


class ReusableVectors:
    """Looks texts up by content hash in the vectors tables that hold them, the pair's own first.

    `others` is asked for further tables, once, when a text is not in the pair's own; it names sound ones only. Of the
    pair's own, `digests` are compared for the files that a vector would come from: one that lies in a damaged file is
    not used again, because as a new row it would have a sound digest.
    """

    def __init__(
        self,
        own: Vectors,
        version: int,
        others: Callable[[], Sequence[Giver]] = lambda: (),
        digests: Mapping[str, str] | None = None,
    ) -> None:
        self._own = _TextTable(own, version, digests)
        self._name_others = others
        self._others: list[_TextTable] | None = None

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, ChunkVectors]:
        """What exists of whole texts, by content hash."""
        by_hash = self._own.find(hashes)
        missing = [h for h in dict.fromkeys(hashes) if h not in by_hash]
        if missing and self._others is None:
            self._others = [_TextTable(one.vectors, one.version, gift=one.gift) for one in self._name_others()]
        for source in self._others or ():
            if not source.other_chunks:
                by_hash |= source.find([h for h in missing if h not in by_hash])
        return by_hash

    def find_chunks(
        self, texts: Mapping[bytes, str], chunk: Callable[[str], Sequence[tuple[int, int]]]
    ) -> dict[bytes, ChunkVectors]:
        """Of these texts, by content hash, those whose every chunk another pair has, whatever its place there."""
        known: dict[bytes, FloatArray] = {}
        for source in self._others or ():
            if source.other_chunks:
                for hash_, made in source.find(list(texts)).items():
                    pieces = (texts[hash_][start:end] for start, end in made.spans.tolist())
                    known |= zip(map(_digest, pieces), made.vectors, strict=True)
        by_hash: dict[bytes, ChunkVectors] = {}
        for hash_, text in texts.items() if known else ():
            spans = list(chunk(text))
            vectors = [known.get(_digest(text[start:end])) for start, end in spans]
            if spans and not any(vector is None for vector in vectors):
                by_hash[hash_] = ChunkVectors(np.array(spans, np.int32), np.array(vectors, np.float32))
        return by_hash

    def extend(self, version: int) -> None:
        """Take in what was appended to the pair's own table since."""
        self._own.version = version


class _TextTable:
    """One table: hashes of all texts in it, and where the rows of each are. A text's rows stand together.

    Newest first: a row that a repair wrote comes before the damaged one that it superseded.
    """

    def __init__(
        self, vectors: Vectors, version: int, digests: Mapping[str, str] | None = None, gift: Gift | None = None
    ) -> None:
        self.vectors = vectors
        self.version = version
        self.other_chunks = gift is not None and gift.other_chunks
        self._form = gift.taken_from if gift else lambda vectors: vectors
        self._digests = digests
        self._version_read = 0
        self._rows = 0
        self._hashes = pa.chunked_array([], pa.binary(16))
        self._starts = np.empty(0, np.int64)
        self._ends = np.empty(0, np.int64)

    def _load(self) -> None:
        if self._version_read == self.version:
            return
        keys = self.vectors.keys(self.version, after=self._rows, columns=["ordinal", "content_hash", "fingerprint"])
        starts, ends = _texts_in(keys)
        # Reversed, and before the older ones: `index_in` finds the first match, which has to be the newest row.
        hashes = keys["content_hash"].take(pa.array(starts[::-1]))
        self._hashes = pa.chunked_array([*hashes.chunks, *self._hashes.chunks], pa.binary(16))
        self._starts = np.concatenate([starts[::-1] + self._rows, self._starts])
        self._ends = np.concatenate([ends[::-1] + self._rows, self._ends])
        self._rows += keys.num_rows
        self._version_read = self.version

    def _runs(self, hashes: Sequence[bytes]) -> list[tuple[bytes, int, int]]:
        """Of these texts those that are here: hash, first row, and the row after the last."""
        rows = None if self._version_read else self.vectors.rows_of_texts(self.version, hashes)
        if rows is not None:
            numbers, (starts, ends) = np.asarray(rows["row"]), _texts_in(rows)
            of = rows["content_hash"].take(pa.array(starts)).to_pylist()
            runs = zip(of, numbers[starts].tolist(), (1 + numbers[ends - 1]).tolist(), strict=True)
            return list({run[0]: run for run in runs}.values())  # of each text the newest, which comes last
        self._load()
        places = pc.index_in(pa.array(hashes, pa.binary(16)), value_set=self._hashes).to_pylist()
        pairs = [(h, p) for h, p in zip(hashes, places, strict=True) if p is not None]
        return [(h, int(self._starts[p]), int(self._ends[p])) for h, p in pairs]

    def find(self, hashes: Sequence[bytes]) -> dict[bytes, ChunkVectors]:
        if not hashes:
            return {}
        runs = self._runs(hashes)
        if runs and self._digests is not None:
            ends = np.array([[first, end - 1] for _, first, end in runs])
            sound = self.vectors.sound_rows(self.version, ends.ravel(), self._digests).reshape(-1, 2)
            runs = [one for one, (first, last) in zip(runs, sound.tolist(), strict=True) if first and last]
        if not runs:
            return {}
        rows = np.concatenate([np.arange(first, end) for _, first, end in runs])
        chunks = self.vectors.read(self.version, rows)
        by_hash, at = {}, 0
        for content_hash, first, end in runs:
            part = slice(at, at := at + end - first)
            keep = chunks.ordinals[part] >= 0
            by_hash[content_hash] = ChunkVectors(chunks.spans[part][keep], self._form(chunks.vectors[part][keep]))
        return by_hash


def _texts_in(keys: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the rows of each text begin and end, in keys with `ordinal` and `fingerprint`.

    What came over a bridge is left out: it would be taken for a vector that the model made.
    """
    starts = np.flatnonzero(np.asarray(keys["ordinal"]) <= 0)
    ends = np.append(starts, keys.num_rows)[1:]
    own = ~came_by_bridge(keys["fingerprint"])[starts]
    return starts[own], ends[own]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
