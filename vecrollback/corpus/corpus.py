"""The corpus: documents and the log of their changes, one Lance table keyed by document id.

A row is a document's newest change: its `_seq`, and whether it was a delete. The log is read by seq; a change that
was overwritten before anybody read it is never missed, because the newer one stands for it. Deletes keep the row as
a tombstone and purge text and metadata.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.catalog import CORPUS, Catalog, now
from vecrollback.corpus.documents import canonical_json, content_hash, document_digest, is_filterable
from vecrollback.corpus.filters import Condition, columns_of, matches, read_filter
from vecrollback.errors import (
    BadDocumentError,
    CatalogOlderError,
    CorruptArtifactError,
    DocumentExistsError,
    LockHeldError,
    StorageUnavailableError,
    VecrollbackError,
)
from vecrollback.records import CorpusState, Document, IfAbsent, Json, WriteResult
from vecrollback.storage import FileStore
from vecrollback.storage.forks import hold_off_forks, uses_tables
from vecrollback.storage.lance_table import KEEP_SECONDS, LanceTable
from vecrollback.storage.local import reach

T = TypeVar("T")
_log = logging.getLogger(__name__)
_EXACT = 1 << 53  # whole numbers beyond it are no doubles: they are kept and returned, not filtered on
_MAX_FILTER_KEYS = 256
_VERSIONS_OF_A_WRITE = 2  # new columns, then rows
_FILTERED_AT_ONCE = 1 << 16
_READ_AT_ONCE = 1_000
_SYSTEM = ("id", "text", "metadata", "_seq", "_content_hash", "_digest", "_deleted", "_updated_at")
_TYPES: dict[type, pa.DataType] = {bool: pa.bool_(), int: pa.float64(), float: pa.float64(), str: pa.string()}

_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"}),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("_seq", pa.int64(), nullable=False),
        pa.field("_content_hash", pa.binary(16), nullable=False),
        pa.field("_digest", pa.binary(16), nullable=False),
        pa.field("_deleted", pa.bool_(), nullable=False),
        pa.field("_updated_at", pa.string(), nullable=False),
    ]
)
_BLANK = Document("", "")


class Corpus:
    """Documents of one store. Reads are at the version the catalog acknowledged; writers take turns by a lock.

    Scalar metadata values are also columns, which is what a `where` filter reads: strings, booleans and numbers (as
    doubles). Keys that are not plain identifiers, start with an underscore or are spelled `id`,
    `text`, `metadata` are kept and returned but cannot be filtered on; nor can lists and objects.
    """

    def __init__(self, file_store: FileStore, catalog: Catalog) -> None:
        self._catalog = catalog
        self._ledger = catalog.ledger
        self.table = LanceTable(file_store)

    def create(self) -> None:
        commit = self.table.create(_SCHEMA, stable_row_ids=True)
        state = self._ledger.state()
        if state.version == 0:
            self._ledger.commit(CorpusState(0, commit.version, 0), files=commit.files, expected=state)

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

    def upsert(
        self, documents: Sequence[Document], *, if_absent: IfAbsent | None = None, unknown_only: bool = False
    ) -> WriteResult:
        """Write new and changed documents. Durable when it returns.

        Ids must be unique in one call. A document equal to the stored one makes no change. `if_absent`: write those
        alone that do not exist, and leave the others, or raise DocumentExistsError. `unknown_only`: those alone whose
        ids the log never held, not even deleted.
        """
        with self._catalog.lock("corpus"), hold_off_forks(), self.table.reported():
            state, dataset = self.recover()
            stored = _stored(dataset, [d.id for d in documents])
            present = [d.id for d in documents if not stored.get(d.id, (b"", True))[1]] if if_absent else []
            if present and if_absent == "fail":
                raise _already_there(present)
            if unknown_only:
                changed = [d for d in documents if d.id not in stored]
            elif if_absent:
                left_alone = set(present)
                changed = [d for d in documents if d.id not in left_alone]
            else:
                changed = [d for d in documents if stored.get(d.id) != (document_digest(d), False)]
            if not changed:
                return WriteResult(state.head, unchanged=len(documents))
            dataset = self._with_filter_columns(dataset, changed)
            rows = _rows([(d, False) for d in changed], first_seq=state.head + 1, schema=dataset.schema)
            added = sum(1 for d in changed if stored.get(d.id, (b"", True))[1])
            head = CorpusState(state.head + len(changed), 0, state.documents + added)
            self._commit(dataset, rows, head, [], expected=state)
        return WriteResult(head.head, written=len(changed), unchanged=len(documents) - len(changed))

    def delete(self, ids: Sequence[str] | None, *, where: str | None = None, again: bool = False) -> WriteResult:
        """Delete documents by id, or those that a filter matches at that moment. Durable when it returns.

        An id the store never held gets a tombstone too: a bundle imported later may know it. `again`: give documents
        that are deleted already a new, higher tombstone.
        """
        condition = read_filter(where) if where else None
        with self._catalog.lock("corpus"), hold_off_forks(), self.table.reported():
            state, dataset = self.recover()
            # Under the lock: what is written meanwhile is judged by the filter or comes after it, never in between.
            unique = list(dict.fromkeys(self._matching(condition, dataset).to_pylist() if condition else ids or ()))
            stored = dict.fromkeys(unique, (b"", False)) if condition else _stored(dataset, unique)
            gone = [i for i in unique if again or not stored.get(i, (b"", False))[1]]
            if not gone:
                return WriteResult(state.head, unchanged=len(unique))
            first = state.head + 1
            rows = _rows([(Document(i, ""), True) for i in gone], first_seq=first, schema=dataset.schema)
            lost = sum(1 for i in gone if not stored.get(i, (b"", True))[1])
            head = CorpusState(state.head + len(gone), 0, state.documents - lost)
            self._commit(dataset, rows, head, [(i, first + n) for n, i in enumerate(gone)], expected=state)
        return WriteResult(head.head, unchanged=len(unique) - lost, deleted=lost)

    @uses_tables
    def changes(self, after: int, upto: int, *, version: int) -> pa.Table:
        """The newest change of each document with after < seq <= upto: id, seq, hash, deleted, row id; by seq."""
        with self.table.reported():
            scanner = self.table.at(version).scanner(
                columns=["id", "_seq", "_content_hash", "_deleted"],
                filter=f"_seq > {int(after)} AND _seq <= {int(upto)}",
                with_row_id=True,
            )
            return scanner.to_table().sort_by("_seq")

    @uses_tables
    def texts(self, row_ids: Sequence[int], *, version: int) -> list[str]:
        """Texts of rows that `changes` named, in that order."""
        if not row_ids:
            return []
        with self.table.reported():
            found = self.table.at(version)._take_rows(list(row_ids), columns=["text"])
        return [str(text) for text in found["text"].to_pylist()]

    def scan(self, version: int, *, columns: Sequence[str], after: int = 0) -> Iterator[pa.RecordBatch]:
        """Record batches of every row, tombstones included; `after`: only rows of a greater seq."""
        condition = f"_seq > {int(after)}" if after else None
        with hold_off_forks(), self.table.reported():
            yield from self.table.at(version).scanner(columns=list(columns), filter=condition).to_batches()

    @uses_tables
    def get(self, ids: Sequence[str], *, version: int) -> dict[str, Document]:
        """Live documents by id."""
        found: dict[str, Document] = {}
        if ids:
            columns = {"columns": ["id", "text", "metadata", "_deleted"], "filter": _any_of(ids)}
            with self.table.reported():
                rows = self.table.at(version).to_table(**columns).to_pylist()
            for row in rows:
                if not row["_deleted"]:
                    found[row["id"]] = Document(row["id"], row["text"], parse_metadata(row["metadata"]))
        return found

    def documents(
        self, where: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> Iterator[Document]:
        """Live documents by id, ascending: of those that a filter matches, the first `limit` after the id `after`."""
        condition = read_filter(where) if where else None
        while limit is None or limit > 0:
            state = self.state()
            try:
                rows = self._live_rows(condition, state.version, after, limit)
                for first in range(0, len(rows), _READ_AT_ONCE):
                    for document in self._read_rows(rows.slice(first, _READ_AT_ONCE), state.version):
                        yield document
                        after, limit = document.id, None if limit is None else limit - 1
                return
            except (VecrollbackError, OSError, ValueError):
                if self.state().version == state.version:
                    raise  # else a purge took that version away: go on in the newest, after what was given already

    def count(self, where: str | None = None) -> int:
        """How many documents are there, or match a filter."""
        if not where:
            return self.state().documents
        return self.at_head(lambda state: len(self.matching(where, version=state.version)))

    @uses_tables
    def _live_rows(self, condition: Condition | None, version: int, after: str | None, limit: int | None) -> pa.Table:
        """`id` and `_rowid` of live documents, in the order of the ids; no text is read."""
        with self.table.reported():
            dataset = self.table.at(version)
            names = dict.fromkeys(["id", "_deleted", *(columns_of(condition, dataset.schema) if condition else ())])
            scanner = dataset.scanner(columns=list(names), with_row_id=True, batch_size=_FILTERED_AT_ONCE)
            ids: list[pa.Array] = []
            places: list[pa.Array] = []
            for rows in scanner.to_batches():
                mask = pc.invert(rows["_deleted"])
                if condition is not None:
                    mask = pc.and_kleene(matches(condition, rows), mask)
                if after is not None:
                    mask = pc.and_kleene(mask, pc.greater(rows["id"], after))
                ids.append(rows["id"].filter(mask))
                places.append(rows["_rowid"].filter(mask))
        columns = [pa.chunked_array(ids, pa.string()), pa.chunked_array(places, pa.uint64())]
        return pa.table(columns, names=["id", "_rowid"]).sort_by("id").slice(0, limit)

    @uses_tables
    def _read_rows(self, rows: pa.Table, version: int) -> list[Document]:
        with self.table.reported():
            columns = ["id", "text", "metadata"]
            found = self.table.at(version)._take_rows(rows["_rowid"].to_pylist(), columns=columns).to_pylist()
        return [Document(row["id"], row["text"], parse_metadata(row["metadata"])) for row in found]

    @uses_tables
    def matching(self, where: str, *, version: int) -> pa.Array:
        """Ids of live documents whose metadata satisfies `where`, as `where_text` has it. Raises BadFilterError."""
        condition = read_filter(where)
        while True:
            try:
                with self.table.reported():
                    return self._matching(condition, self.table.at(version))
            except (StorageUnavailableError, CorruptArtifactError):
                newer = self.state().version
                if newer == version:
                    raise
                version = newer  # a purge may have taken the other's files away

    def _matching(self, condition: Condition, dataset: Any) -> pa.Array:
        """Nothing of the filter reaches Lance but the names of columns: its planner recurses over what users write."""
        columns = dict.fromkeys(["id", "_deleted", *columns_of(condition, dataset.schema)])
        ids: list[pa.Array] = []
        for rows in dataset.scanner(columns=list(columns), batch_size=_FILTERED_AT_ONCE).to_batches():
            mask = pc.and_not_kleene(matches(condition, rows), rows["_deleted"])
            ids.append(rows["id"].filter(mask))
        return pa.chunked_array(ids, pa.string()).combine_chunks()

    def compact(self, *, purge: bool = False, age: float = KEEP_SECONDS) -> None:
        """Merge fragments and drop versions that are older than `age` seconds.

        With `purge` all of them go, whoever reads them: no byte of a deleted text stays in the table.
        """
        with self._catalog.lock("corpus"), hold_off_forks(), self.table.reported():
            state, dataset = self.recover()
            self._compact(state, dataset, purge=purge, age=age)

    def tidy(self, age: float) -> None:
        """Merge fragments where that pays, and drop versions older than `age` seconds; nothing while somebody writes.

        Raises CorruptArtifactError when a file that would be read is not what was acknowledged.
        """
        with suppress(LockHeldError), self._catalog.lock("corpus", timeout=0), hold_off_forks(), self.table.reported():
            state = self._ledger.state()
            dataset = self.table.at(state.version)
            if below := self.table.small_rows(dataset):
                self._compact(*self.recover(), below=below, age=age)
            elif self.table.old_versions(state.version, age=age):
                self._forget_old(dataset, self._catalog.files.of(CORPUS), age)

    def recover(self) -> tuple[CorpusState, Any]:
        """The acknowledged state and its dataset; adopts what a dead writer finished but did not acknowledge.

        What a writer left that had lost its lock is dropped instead: it went on from the same head as another one, so
        its changes have seqs that are taken, and pairs past those would never see them.
        """
        self._catalog.require_present()
        state = self._ledger.state()
        digests = self._catalog.files.of(CORPUS)
        dataset = self.table.recover(state.version, digests)
        if dataset.version == state.version:
            return state, dataset
        fresh = f"_row_last_updated_at_version > {state.version}"
        rows = dataset.to_table(columns=["id", "_seq", "_deleted"], filter=fresh).to_pylist()
        seqs = {row["_seq"] for row in rows}
        if len(seqs) < len(rows) or any(seq <= state.head for seq in seqs):
            rows = []
        elif rows:
            rows = rows if self._finished(dataset, state.version) else []
        if not rows:
            # Nothing in it that is to be kept; a compaction that nobody acknowledged holds the rows of the version
            # before it and is made again.
            dataset = self.table.back_to(state.version)
        deleted = [(row["id"], row["_seq"]) for row in rows if row["_deleted"]]
        head = max((row["_seq"] for row in rows), default=state.head)
        live = dataset.count_rows(filter="_deleted = false")
        adopted = CorpusState(head, dataset.version, live)
        commit = self.table.described(dataset, known=digests)
        self._ledger.commit(adopted, deleted, commit.files, expected=state)
        return adopted, dataset

    def _finished(self, dataset: Any, known: int) -> bool:
        """Whether every row that came after version `known` is what its writer meant, by the digest in it.

        Raises CatalogOlderError when they are not, and are more than one writer can leave: then they may have been
        acknowledged, in a catalog that is not here.
        """
        before = self.table.files(self.table.at(known))
        columns = [name for name in dataset.schema.names if name != "_updated_at"]
        added = [
            one for one in dataset.get_fragments() if any(f"data/{f.path}" not in before for f in one.metadata.files)
        ]
        scanner = dataset.scanner(columns=columns, fragments=added)
        if all(is_sound(row) for batch in scanner.to_batches() for row in batch.to_pylist()):
            return True
        if dataset.version - known > _VERSIONS_OF_A_WRITE:
            raise CatalogOlderError(self.table.name, named=known, newest=dataset.version)
        return False

    def _commit(
        self,
        dataset: Any,
        rows: pa.Table,
        state: CorpusState,
        deleted: list[tuple[str, int]],
        *,
        expected: CorpusState,
    ) -> None:
        commit = self.table.merge("id", rows, onto=dataset)
        reach("corpus.merged")
        state = replace(state, version=commit.version)
        self._ledger.commit(state, deleted, commit.files, expected=expected)
        reach("corpus.acknowledged")
        if below := self.table.small_rows(commit.dataset):
            try:
                self._compact(state, commit.dataset, below=below)
            except CorruptArtifactError as error:  # what was written is acknowledged; a check says the same
                _log.warning("the documents are not compacted: %s", error)

    def _compact(
        self,
        state: CorpusState,
        dataset: Any,
        *,
        purge: bool = False,
        below: int | None = None,
        age: float = KEEP_SECONDS,
    ) -> None:
        digests = self._catalog.files.of(CORPUS)
        commit = self.table.compact(onto=dataset, digests=digests, purge=purge, below=below)
        reach("corpus.compacted")
        self._ledger.commit(replace(state, version=commit.version), files=commit.files, expected=state)
        reach("corpus.compaction_acknowledged")
        if purge:
            self.table.purge_versions(onto=commit.dataset)
            self._catalog.files.keep_only(CORPUS, self.table.files(commit.dataset))
        else:
            self._forget_old(commit.dataset, digests, age)

    def _forget_old(self, dataset: Any, digests: Mapping[str, str], age: float) -> None:
        """Remove old versions, unless somebody goes through one of them for long: then the next compaction does."""
        try:
            with self._catalog.lock(f"reading-{CORPUS}", timeout=0):
                if old := self.table.old_versions(dataset.version, age=age):
                    self.table.forget_versions(old, digests, onto=dataset)
                    self._catalog.files.keep_only(CORPUS, self.table.remaining())
        except LockHeldError:
            _log.debug("old versions of the documents stay for now: they are being read")

    @uses_tables
    def check_types(self, documents: Sequence[Document]) -> None:
        """Raise BadDocumentError when metadata values are of another type than in the documents stored."""
        _new_columns(self.table.at(self.state().version).schema, documents)

    def _with_filter_columns(self, dataset: Any, documents: Sequence[Document]) -> Any:
        fresh = _new_columns(dataset.schema, documents)
        if fresh:
            dataset = self.table.add_columns([pa.field(k, t) for k, t in fresh.items()], onto=dataset).dataset
        return dataset


def _new_columns(schema: pa.Schema, documents: Sequence[Document]) -> dict[str, pa.DataType]:
    """Filterable keys of these documents that the table has no column for. Raises BadDocumentError."""
    known = {field.name: field.type for field in schema}
    fresh: dict[str, pa.DataType] = {}
    for document in documents:
        for key, value in _filterable(document.metadata).items():
            wanted = _TYPES[type(value)]
            if known.setdefault(key, wanted) != wanted:
                raise _type_conflict(document.id, key, value, known[key])
            if key not in schema.names:
                fresh[key] = wanted
    if len(known) - len(_SYSTEM) > _MAX_FILTER_KEYS:
        raise BadDocumentError(
            f"more than {_MAX_FILTER_KEYS} different metadata keys with plain values",
            hint="put keys that vary from document to document inside one nested object",
        )
    return fresh


def parse_metadata(text: str) -> dict[str, Json]:
    return dict(json.loads(text)) if text != "{}" else {}


def _filterable(metadata: Mapping[str, Json]) -> dict[str, Json]:
    plain = {key: value for key, value in metadata.items() if type(value) in _TYPES and is_filterable(key)}
    return {key: value for key, value in plain.items() if type(value) is not int or abs(value) <= _EXACT}


def _rows(changes: Sequence[tuple[Document, bool]], *, first_seq: int, schema: pa.Schema) -> pa.Table:
    documents = [document for document, _ in changes]
    at = now()
    columns: dict[str, list[Any]] = {
        "id": [d.id for d in documents],
        "text": [d.text for d in documents],
        "metadata": [canonical_json(d.metadata) for d in documents],
        "_seq": list(range(first_seq, first_seq + len(changes))),
        "_content_hash": [content_hash(d.text) for d in documents],
        "_digest": [document_digest(d) for d in documents],
        "_deleted": [deleted for _, deleted in changes],
        "_updated_at": [at] * len(changes),
    }
    plain = [_filterable(d.metadata) for d in documents]
    for field in schema:
        if field.name not in columns:
            columns[field.name] = [values.get(field.name) for values in plain]
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)


def is_sound(row: Mapping[str, Any]) -> bool:
    """Whether a row holds the document whose digest it has, and that document's values in the columns of filters."""
    try:
        document = Document(row["id"], row["text"], parse_metadata(row["metadata"]))
        if row["_digest"] != document_digest(document) or row["_content_hash"] != content_hash(row["text"]):
            return False
    except ValueError:
        return False
    values = _filterable(document.metadata)
    return all(row[name] == values.get(name) for name in row if name not in _SYSTEM)


def _stored(dataset: Any, ids: Sequence[str]) -> dict[str, tuple[bytes, bool]]:
    """Id -> (digest, deleted) of those ids the table knows."""
    if not ids or not dataset.count_rows():
        return {}
    found = dataset.to_table(columns=["id", "_digest", "_deleted"], filter=_any_of(ids))
    triples = zip(*(found[name].to_pylist() for name in ("id", "_digest", "_deleted")), strict=True)
    return {id_: (digest, deleted) for id_, digest, deleted in triples}


def _any_of(ids: Sequence[str]) -> str:
    quoted = ", ".join("'" + i.replace("'", "''") + "'" for i in ids)
    return f"id IN ({quoted})"


def _already_there(ids: Sequence[str]) -> DocumentExistsError:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return DocumentExistsError(
        f"documents exist already: {', '.join(map(repr, ids[:5]))}{more}",
        hint="nothing was written; leave `if_absent` out to replace them, or 'skip' them",
    )


def _type_conflict(id_: str, key: str, value: Json, known: pa.DataType) -> BadDocumentError:
    kind = {"double": "numbers", "string": "strings", "bool": "true or false"}.get(str(known), str(known))
    return BadDocumentError(
        f"document {id_!r}: metadata {key!r} is {value!r}, but other documents hold {kind} there",
        hint=f"write {key!r} the same way in every document, or put it inside a nested object",
    )
