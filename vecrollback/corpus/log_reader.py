"""Reading the log of documents: its changes, its texts, and documents by id or filter, at a version that counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.catalog import Catalog
from vecrollback.corpus.columns import (
    DOCUMENT,
    EMBEDDED_TEXT,
    SOURCE,
    any_of,
    changed_since,
    columns_there,
    document_of,
    texts_for_model,
)
from vecrollback.corpus.earlier import EarlierDocuments
from vecrollback.corpus.selection import DocumentSet, count_namespaces, select_ids, select_rows
from vecrollback.corpus.sound_log import SoundLog, problem_of
from vecrollback.errors import CorruptArtifactError, StorageUnavailableError, VecrollbackError
from vecrollback.records import CorpusState, Document
from vecrollback.storage import FileStore
from vecrollback.storage.forks import hold_off_forks, uses_tables
from vecrollback.storage.lance_table import LanceTable

T = TypeVar("T")
_READ_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class ReadableLog:
    """What can be read of a version. `problem`: what cannot be; `files`: all that the version consists of."""

    rows: Any
    problem: str
    files: frozenset[str]


class LogReader:
    """What can be read of the documents of one store. Reads are at the version the catalog acknowledged.

    Ids are keys here: those of `Document.key`, with the namespace in them. `memory`: a file of this machine that keeps
    which files were compared with their digests. What is damaged is not read: see `SoundLog`.
    """

    def __init__(self, file_store: FileStore, earlier: FileStore, catalog: Catalog, memory: Path | None) -> None:
        self._catalog, self._ledger = catalog, catalog.ledger
        self.table = LanceTable(file_store)
        self._log = SoundLog(self.table, catalog, memory)
        self.earlier = EarlierDocuments(earlier, catalog)

    def state(self) -> CorpusState:
        """The acknowledged head of the log."""
        return self._ledger.state()

    @uses_tables
    def at_head(self, read: Callable[[CorpusState], T]) -> T:
        """What `read` makes of the acknowledged head; once more when a purge took that version away meanwhile."""
        while True:
            state = self.state()
            try:
                with self.table.reported():
                    return read(state)
            except (VecrollbackError, OSError, ValueError):
                if self.state().version == state.version:
                    raise

    def seq_at(self, time: str) -> int:
        """The last change at a time, written as the catalog writes times; 0 before the first."""

        def newest(state: CorpusState) -> int:
            rows = self._log.whole(state.version).to_table(columns=["_seq"], filter=f"_updated_at <= '{time}'")
            return max(int(pc.max(rows["_seq"]).as_py() or 0), self.earlier.last_seq_at(time))

        return self.at_head(newest)

    @uses_tables
    def changes(self, after: int, upto: int, *, version: int) -> pa.Table:
        """The newest change of each document with after < seq <= upto: id, seq, hash, deleted, row id; by seq."""
        with self.table.reported():
            scanner = self._log.whole(version).scanner(
                columns=["id", "_seq", "_content_hash", "_deleted"],
                filter=f"_seq > {int(after)} AND _seq <= {int(upto)}",
                with_row_id=True,
            )
            return scanner.to_table().sort_by("_seq")

    @uses_tables
    def texts(self, row_ids: Sequence[int], *, version: int) -> list[str]:
        """Texts for the model of rows that `changes` named, in that order."""
        if not row_ids:
            return []
        with self.table.reported():
            dataset = self._log.whole(version)
            rows = dataset._take_rows(list(row_ids), columns=columns_there(dataset, ["text", EMBEDDED_TEXT]))
        return [str(text) for text in texts_for_model(rows).to_pylist()]

    @uses_tables
    def readable(self, version: int, *, known: Set[str] = frozenset(), anew: bool = False) -> ReadableLog:
        """What can be read of a version, to be given to `scan`. `known`, `anew`: see `SoundLog.at`."""
        with self.table.reported():
            log = self._log.at(version, known=known, anew=anew)
            return ReadableLog(log, problem_of(log), frozenset(self.table.files(self.table.at(version))))

    def scan(
        self, version: int, *, columns: Sequence[str], after: int = 0, log: ReadableLog | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Record batches of every row, tombstones included; `after`: only rows of a greater seq.

        `log`: what of the version is to be read; without it a row that cannot be read raises CorruptArtifactError.
        """
        condition = f"_seq > {int(after)}" if after else None
        with hold_off_forks(), self.table.reported():
            dataset = self._log.whole(version) if log is None else log.rows
            there = columns_there(dataset, columns)
            for batch in dataset.scanner(columns=there, filter=condition).to_batches():
                if len(there) == len(columns):
                    yield batch
                else:
                    yield batch.append_column(EMBEDDED_TEXT, pa.nulls(len(batch), pa.large_string()))

    @uses_tables
    def get(self, ids: Sequence[str], *, version: int) -> dict[str, Document]:
        """Live documents by key."""
        if not ids:
            return {}
        with self.table.reported():
            dataset = self._log.at(version)
            columns = columns_there(dataset, [*DOCUMENT, "_deleted"])
            rows = dataset.to_table(columns=columns, filter=any_of(ids)).to_pylist()
            if problem_of(dataset) and dataset.may_lack(set(ids) - {row["id"] for row in rows}):
                raise CorruptArtifactError(dataset.problem, hint=dataset.hint)
        return {row["id"]: document_of(row) for row in rows if not row["_deleted"]}

    def documents(self, selection: DocumentSet, *, after: str = "", limit: int | None = None) -> Iterator[Document]:
        """The selected documents by key, ascending: the first `limit` of those after the key `after`."""
        while limit is None or limit > 0:
            state = self.state()
            try:
                rows = self._selected(selection, state.version, after).slice(0, limit)
                for first in range(0, len(rows), _READ_AT_ONCE):
                    for document in self._read_rows(rows.slice(first, _READ_AT_ONCE), state.version):
                        yield document
                        after, limit = document.key, None if limit is None else limit - 1
                return
            except (VecrollbackError, OSError, ValueError):
                if self.state().version == state.version:
                    raise  # else a purge took that version away: go on in the newest, after what was given already

    def matching(self, selection: DocumentSet, *, version: int, whole: bool = True) -> pa.Array:
        """Keys of the selected documents. Raises BadFilterError.

        `whole`: a row that cannot be read raises CorruptArtifactError; else it matches nothing.
        """
        while True:
            try:
                return self._matching(selection, version, whole)
            except (StorageUnavailableError, CorruptArtifactError):
                newer = self.state().version
                if newer == version:
                    raise
                version = newer  # a purge may have taken the other's files away

    def taken_from(self, source: str) -> list[str]:
        """Keys of the documents that were adopted from a source, and that nobody has written or deleted here since."""

        def read(state: CorpusState) -> list[str]:
            log = self._log.whole(state.version)
            if SOURCE not in log.schema.names:
                return []
            name = source.replace("'", "''")
            rows = log.to_table(columns=["id"], filter=f"{SOURCE} = '{name}' AND NOT _deleted")
            return list(rows["id"].to_pylist())

        return self.at_head(read)

    def changed_since(self, ids: Sequence[str], seq: int) -> set[str]:
        """Those of these documents that were written or deleted after a change."""
        return self.at_head(lambda state: changed_since(self._log.whole(state.version), ids, seq))

    def count(self, selection: DocumentSet) -> int:
        """How many documents are selected."""
        return self.at_head(lambda state: len(self._matching(selection, state.version, True)))

    def namespaces(self) -> dict[str, int]:
        """Namespace -> documents, by name; "" is that of documents without one."""
        return self.at_head(lambda state: count_namespaces(self._log.whole(state.version)))

    @uses_tables
    def _matching(self, selection: DocumentSet, version: int, whole: bool) -> pa.Array:
        with self.table.reported():
            return select_ids(self._log.whole(version) if whole else self._log.at(version), selection)

    @uses_tables
    def _selected(self, selection: DocumentSet, version: int, after: str) -> pa.Table:
        with self.table.reported():
            return select_rows(self._log.whole(version), selection, after)

    @uses_tables
    def _read_rows(self, rows: pa.Table, version: int) -> list[Document]:
        with self.table.reported():
            dataset = self._log.whole(version)
            columns = columns_there(dataset, DOCUMENT)
            return [document_of(r) for r in dataset._take_rows(rows["_rowid"].to_pylist(), columns=columns).to_pylist()]
