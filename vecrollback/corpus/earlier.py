"""What documents were before: the rows that newer changes superseded, for going back to an earlier point of the log.

One Lance table beside the documents, keyed by the seq of the change. A row was valid from its `_seq` up to, and not
including, its `_until`. It is written before the change that supersedes it, and named in the same transaction of the
catalog; what a writer left that died in between is dropped with the change itself.

A delete is for good: the rows of its document stay, to say that it was there, and their texts and metadata are emptied
in the same step. Rows older than the retention go, and raise the floor: the log cannot be taken back behind it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vecrollback.catalog import EARLIER, Catalog, now
from vecrollback.corpus.columns import (
    DOCUMENT,
    EMBEDDED_TEXT,
    any_of,
    columns_there,
    document_of,
)
from vecrollback.errors import CorruptArtifactError, LockHeldError
from vecrollback.records import Document, EarlierState
from vecrollback.storage import FileStore
from vecrollback.storage.lance_table import Commit, LanceTable
from vecrollback.storage.local import reach

_log = logging.getLogger(__name__)
_AT_ONCE = 8_192
KEPT_SECONDS = 30 * 24 * 3600.0
"""How long what a document was before stays."""

_COLUMNS = [*DOCUMENT, "_seq", "_content_hash", "_digest", "_deleted", "_updated_at"]
_FACTS = ["id", "_seq", "_content_hash", "_digest", "_deleted", "_updated_at"]
_TEXT_FOR_MODEL = pa.field(EMBEDDED_TEXT, pa.large_string())
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("_seq", pa.int64(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"}),
        pa.field("_content_hash", pa.binary(16), nullable=False),
        pa.field("_digest", pa.binary(16), nullable=False),
        pa.field("_deleted", pa.bool_(), nullable=False),
        pa.field("_updated_at", pa.string(), nullable=False),
        pa.field("_until", pa.int64(), nullable=False),
        pa.field("_until_at", pa.string(), nullable=False),
        pa.field("_erased", pa.bool_(), nullable=False),
        _TEXT_FOR_MODEL,
    ]
)


class EarlierDocuments:
    """The superseded rows of one store. Whoever writes holds the corpus's lock."""

    def __init__(self, file_store: FileStore, catalog: Catalog) -> None:
        self._catalog, self._ledger = catalog, catalog.ledger
        self.table = LanceTable(file_store)

    def state(self) -> EarlierState:
        return self._ledger.earlier()

    # -- writing ------------------------------------------------------------------------------------------------------

    def keep(self, dataset: Any, rows: pa.Table, replaced: Sequence[str], *, erase: bool) -> Commit | None:
        """Keep what these rows will supersede; `dataset` holds it still. None when they supersede nothing.

        `erase`: the rows are deletes, for good; also what the documents were before that is emptied. `replaced`: ids
        among the rows' that the dataset knows. The commit is to be named in the transaction that names the rows.
        """
        if not replaced:
            return None
        until = dict(zip(rows["id"].to_pylist(), rows["_seq"].to_pylist(), strict=True))
        parts = _read(dataset, replaced, _FACTS if erase else _COLUMNS)
        superseded = pa.concat_tables([_SCHEMA.empty_table(), *(_superseded(one, until, erase=erase) for one in parts)])
        state = self.state()
        commit = None if state.version else self.table.create(_SCHEMA)
        # Compared with its digests first: the next version repeats what this one's manifest says.
        known = commit.dataset if commit else self.table.recover(state.version, self._catalog.files.of(EARLIER))
        if EMBEDDED_TEXT not in known.schema.names:  # laid out before texts for the model were kept
            commit = self.table.add_columns([_TEXT_FOR_MODEL], onto=known)
            known = commit.dataset
        if erase and (emptied := self._emptied(known, replaced)).num_rows:
            written = self.table.merge("_seq", pa.concat_tables([superseded, emptied]), onto=known)
        elif not superseded.num_rows:
            return commit  # none of them can be read any more
        else:
            written = self.table.append(superseded, onto=known)
        reach("corpus.earlier_kept")
        return Commit(written.dataset, {**(commit.files if commit else {}), **written.files})

    def recover(self, *, adopt: bool) -> Commit | None:
        """Settle what a writer left that died. `adopt`: its change is kept, and this with it; else it is dropped."""
        state = self.state()
        if not self.table.versions_above(state.version):
            return None
        digests = self._catalog.files.of(EARLIER)
        if adopt:
            return self.table.described(self.table.recover(max(1, state.version), digests), known=digests)
        if not state.version:
            self.table.discard()
            return None
        # First without what a power loss left torn: nothing is made from a version whose bytes are not there.
        if self.table.recover(state.version, digests).version == state.version:
            return None
        commit = self.table.described(self.table.back_to(state.version), known=digests)
        self._ledger.name_earlier(EarlierState(commit.version, state.floor), commit.files, expected=state)
        return None

    def readopt(self) -> None:
        """Acknowledge the newest version of the table, for a catalog that went back in time and names an older one."""
        state = self.state()
        if not self.table.versions_above(state.version):
            return
        try:
            newest = self.table.newest(state.version)
        except CorruptArtifactError:
            if state.version:
                raise
            return  # a power loss left a beginning, in which there is nothing: the next writer lays the table out
        self._named(state, self.table.described(newest))

    def drop_after(self, head: int) -> None:
        """Drop what was kept for changes after the head of the log: they were lost, and nothing was superseded.

        Such a row would stand beside the one of the change that does supersede its document, under the same seq.
        """
        state = self.state()
        if not state.version:
            return
        dataset = self.table.recover(state.version, self._catalog.files.of(EARLIER))
        if dataset.count_rows(filter=f"_until > {int(head)}"):
            self._named(state, self.table.delete(f"_until > {int(head)}", onto=dataset))

    def readable(self, ids: Sequence[str]) -> set[str]:
        """Those of these documents of which an earlier text is still there."""
        if not ids or not (version := self.state().version):
            return set()
        return {id_ for part in self._unerased(self.table.at(version), ids, ["id"]) for id_ in part["id"].to_pylist()}

    def _emptied(self, known: Any, ids: Sequence[str]) -> pa.Table:
        """Their rows as they will be, without texts and metadata."""
        columns = [name for name in _SCHEMA.names if name not in ("text", "metadata", EMBEDDED_TEXT, "_erased")]
        parts = [_completed(part, erased=True) for part in self._unerased(known, ids, columns)]
        return pa.concat_tables(parts) if parts else _SCHEMA.empty_table()

    def _unerased(self, known: Any, ids: Sequence[str], columns: list[str]) -> Iterator[pa.Table]:
        return _read(known, ids, columns, "_erased = false AND _deleted = false")

    # -- reading ------------------------------------------------------------------------------------------------------

    def valid_at(self, seq: int) -> pa.Table:
        """Rows that were the newest of their document when the log's head was `seq`, and are not now; without texts."""
        version = self.state().version
        columns = [*_FACTS, "_erased"]
        if not version:
            return pa.schema([_SCHEMA.field(name) for name in columns]).empty_table()
        with self.table.reported():
            condition = f"_seq <= {int(seq)} AND _until > {int(seq)}"
            return self.table.at(version).to_table(columns=columns, filter=condition)

    def documents(self, seqs: Sequence[int]) -> Iterator[Document]:
        """The documents as rows of these seqs have them."""
        if not seqs:
            return
        dataset = self.table.at(self.state().version)
        for first in range(0, len(seqs), _AT_ONCE):
            numbers = ", ".join(str(int(seq)) for seq in seqs[first : first + _AT_ONCE])
            with self.table.reported():
                rows = dataset.to_table(columns=columns_there(dataset, DOCUMENT), filter=f"_seq IN ({numbers})")
            for row in rows.to_pylist():
                yield document_of(row)

    def last_seq_at(self, time: str) -> int:
        """The greatest seq of a superseded change that was made at this time or before; 0 when there is none."""
        if not (version := self.state().version):
            return 0
        with self.table.reported():
            rows = self.table.at(version).to_table(columns=["_seq"], filter=f"_updated_at <= '{time}'")
        return int(pc.max(rows["_seq"]).as_py() or 0)

    # -- staying small ------------------------------------------------------------------------------------------------

    def tidy(
        self,
        age: float,
        *,
        purge: bool = False,
        whole: bool = False,
        kept: float = KEPT_SECONDS,
        after_write: bool = False,
    ) -> None:
        """Drop what is older than `kept` seconds, merge small files, clean versions. The caller holds the lock.

        `after_write`: versions are cleaned only where they are many.
        """
        if not self.state().version:
            return
        self.table.require_sound([self.table.manifest(self.state().version)], self._catalog.files.of(EARLIER))
        self._drop(kept)
        state, digests = self.state(), self._catalog.files.of(EARLIER)
        dataset = self.table.at(state.version)
        below = None if whole or purge else self.table.small_rows(dataset)
        if below is None or below:
            commit = self.table.compact(onto=dataset, digests=digests, purge=purge, below=below)
            reach("corpus.earlier_compacted")
            state, dataset = self._named(state, commit), commit.dataset
        if purge:
            self.table.purge_versions(digests, onto=dataset)
            self._catalog.files.keep_only(EARLIER, self.table.files(dataset))
            return
        which = self.table.many_old_versions if after_write else self.table.old_versions
        if old := which(state.version, age=age):
            try:
                with self._catalog.lock(f"reading-{EARLIER}", timeout=0):
                    self.table.forget_versions(old, digests, onto=dataset)
                    self._catalog.files.keep_only(EARLIER, self.table.names())
            except LockHeldError:
                _log.debug("old versions of the earlier documents stay for now: they are being read")

    def _drop(self, kept: float) -> None:
        state = self.state()
        since = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=kept)).isoformat(timespec="microseconds")
        dataset = self.table.at(state.version)
        old = dataset.to_table(columns=["_until"], filter=f"_until_at < '{since}'")
        if not old.num_rows:
            return
        floor = max(state.floor, int(pc.max(old["_until"]).as_py()))
        # The floor first: a row that is gone below it is missed by nobody.
        lower = EarlierState(state.version, floor)
        self._ledger.name_earlier(lower, {}, expected=state)
        self._named(lower, self.table.delete(f"_until <= {floor}", onto=dataset))

    def _named(self, state: EarlierState, commit: Commit) -> EarlierState:
        after = EarlierState(commit.version, state.floor)
        self._ledger.name_earlier(after, commit.files, expected=state)
        return after


def _read(dataset: Any, ids: Sequence[str], columns: list[str], condition: str = "") -> Iterator[pa.Table]:
    for first in range(0, len(ids), _AT_ONCE):
        which = any_of(ids[first : first + _AT_ONCE])
        there = columns_there(dataset, columns)
        rows = dataset.to_table(columns=there, filter=f"{which} AND {condition}" if condition else which)
        if rows.num_rows:
            yield rows


def _superseded(rows: pa.Table, until: Mapping[str, int], *, erase: bool) -> pa.Table:
    ends = pa.array([until[id_] for id_ in rows["id"].to_pylist()], pa.int64())
    at = pa.array([now()] * rows.num_rows, pa.string())
    return _completed(rows.append_column("_until", ends).append_column("_until_at", at), erased=erase)


def _completed(rows: pa.Table, *, erased: bool) -> pa.Table:
    """The rows with every column; those that are erased have no text."""
    columns = {name: rows[name] for name in rows.column_names}
    columns["_erased"] = pa.array([erased] * rows.num_rows, pa.bool_())
    for name in ("text", "metadata"):
        if name not in columns:
            columns[name] = pa.array(["" if name == "text" else "{}"] * rows.num_rows, _SCHEMA.field(name).type)
    columns.setdefault(EMBEDDED_TEXT, pa.nulls(rows.num_rows, _TEXT_FOR_MODEL.type))
    return pa.table([columns[field.name].cast(field.type) for field in _SCHEMA], schema=_SCHEMA)
