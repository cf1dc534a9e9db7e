"""The corpus: documents and the log of their changes, one Lance table keyed by document id.

A row is a document's newest change: its `_seq`, and whether it was a delete. The log is read by seq; a change that
was overwritten before anybody read it is never missed, because the newer one stands for it. Deletes keep the row as
a tombstone and purge text and metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from vecrollback.catalog import CORPUS, Catalog
from vecrollback.corpus.columns import (
    SCHEMA,
    Stored,
    already_there,
    changed_since,
    new_columns,
    sound_row,
    sources_of,
    stored_rows,
    table_rows,
    without_text,
)
from vecrollback.corpus.documents import document_digest
from vecrollback.corpus.erasures import Erasure, ErasureFile
from vecrollback.corpus.log_reader import LogReader
from vecrollback.corpus.selection import DocumentSet, select_ids
from vecrollback.corpus.travel import plan_rollback
from vecrollback.errors import (
    CatalogOlderError,
    CorruptArtifactError,
    LockHeldError,
)
from vecrollback.records import CorpusPlan, CorpusState, Document, IfAbsent, WriteResult
from vecrollback.storage import FileStore
from vecrollback.storage.forks import hold_off_forks
from vecrollback.storage.lance_table import KEEP_SECONDS, Commit
from vecrollback.storage.local import reach

_log = logging.getLogger(__name__)
_VERSIONS_OF_A_WRITE = 2  # new columns, then rows
_WRITES_UNTIL_FORGOTTEN = 16


class Corpus(LogReader):
    """Documents of one store, to be read and written. Writers take turns by a lock.

    `erasures`: a file outside of the store in which deletes are noted. `memory`: see `LogReader`.
    """

    def __init__(
        self,
        file_store: FileStore,
        earlier: FileStore,
        catalog: Catalog,
        *,
        erasures: ErasureFile | None = None,
        memory: Path | None = None,
    ) -> None:
        super().__init__(file_store, earlier, catalog, memory)
        self._erasures = erasures

    def create(self) -> None:
        """Lay the table out, unless that was done. Idempotent; the caller holds a lock."""
        state = self._ledger.state()
        if state.version == 0:
            with self.table.reported():
                commit = self.table.create(SCHEMA, stable_row_ids=True)
            self._ledger.commit(CorpusState(0, commit.version, 0), files=commit.files, expected=state)

    def upsert(
        self, documents: Sequence[Document], *, if_absent: IfAbsent | None = None, unknown_only: bool = False
    ) -> WriteResult:
        """Write new and changed documents. Durable when it returns.

        Ids must be unique in one call. A document equal to the stored one makes no change. `if_absent`: write those
        alone that do not exist, and leave the others, or raise DocumentExistsError. `unknown_only`: those alone whose
        ids the log never held, not even deleted.
        """

        def choose(_: Any, stored: Stored) -> list[Document]:
            present = [d.key for d in documents if not stored.get(d.key, (b"", True))[1]] if if_absent else []
            if present and if_absent == "fail":
                raise already_there(present)
            if unknown_only:
                return [d for d in documents if d.key not in stored]
            if if_absent:
                left_alone = set(present)
                return [d for d in documents if d.key not in left_alone]
            return [d for d in documents if stored.get(d.key) != (document_digest(d), False)]

        return self.write(documents, choose)

    def write(
        self,
        documents: Sequence[Document],
        choose: Callable[[Any, Stored], list[Document]],
        *,
        source: str | None = None,
    ) -> WriteResult:
        """Write those of these documents that `choose` names, told what the log has of them while nobody else writes.

        `choose` gets the table, and key -> (digest, deleted) of the documents that are known. `source`: where they were
        taken from.
        """
        with self._catalog.lock("corpus"), hold_off_forks(), self.table.reported():
            state, dataset = self.recover()
            stored = stored_rows(dataset, [d.key for d in documents])
            changed = choose(dataset, stored)
            if not changed:
                return WriteResult(state.head, unchanged=len(documents))
            dataset = self._with_columns(dataset, changed, source)
            rows = table_rows(
                [(d, False) for d in changed], first_seq=state.head + 1, schema=dataset.schema, source=source
            )
            added = sum(1 for d in changed if stored.get(d.key, (b"", True))[1])
            head = CorpusState(state.head + len(changed), 0, state.documents + added)
            replaced = [d.key for d in changed if d.key in stored]
            self._commit(dataset, rows, head, [], expected=state, replaced=replaced)
        return WriteResult(head.head, written=len(changed), unchanged=len(documents) - len(changed))

    def delete(
        self,
        ids: Sequence[str] | DocumentSet,
        *,
        again: bool = False,
        source: str | None = None,
        since: int | None = None,
    ) -> WriteResult:
        """Delete documents by id, or those that are selected at that moment. Durable when it returns.

        An id the store never held gets a tombstone too: a bundle imported later may know it. `again`: give documents
        that are deleted already a new, higher tombstone. `source`: where they were taken from and are no longer;
        should it have them again, they may be taken again. `since`: leave those alone that were written or deleted
        after this change.
        """
        with self._catalog.lock("corpus"), hold_off_forks(), self.table.reported():
            state, dataset = self.recover()
            # Under the lock: what is written meanwhile is judged by the filter or comes after it, never in between.
            if isinstance(ids, DocumentSet):
                unique = select_ids(dataset, ids).to_pylist()
                stored = dict.fromkeys(unique, (b"", False))
            else:
                left = changed_since(dataset, ids, since) if since is not None else set()
                unique = [i for i in dict.fromkeys(ids) if i not in left]
                stored = stored_rows(dataset, unique)
            deleted = [i for i in unique if stored.get(i, (b"", False))[1]]
            # Of those that a rollback of the corpus took out, what they were is there still: now it goes for good.
            kept = self.earlier.readable(deleted)
            if source is None:  # and what a source may bring back, somebody deletes for good
                kept |= sources_of(dataset, deleted).keys()
            gone = [i for i in unique if again or i in kept or not stored.get(i, (b"", False))[1]]
            if not gone:
                return WriteResult(state.head, unchanged=len(unique))
            first = state.head + 1
            rows = table_rows(
                [(without_text(i), True) for i in gone], first_seq=first, schema=dataset.schema, source=source
            )
            lost = sum(1 for i in gone if not stored.get(i, (b"", True))[1])
            head = CorpusState(state.head + len(gone), 0, state.documents - lost)
            tombstones = [(i, first + n) for n, i in enumerate(gone)]
            replaced = [i for i in gone if i in stored]
            self._commit(dataset, rows, head, tombstones, expected=state, replaced=replaced, erase=True)
            self._note(tombstones)
        return WriteResult(head.head, unchanged=len(unique) - lost, deleted=lost)

    def _note(self, deleted: Sequence[tuple[str, int]]) -> None:
        """Note deletes outside of the store. They are acknowledged: where that fails, the next export notes them."""
        if self._erasures is None:
            return
        try:
            self._erasures.add(Erasure(self._catalog.store_id, key, seq) for key, seq in deleted)
        except OSError as error:
            _log.warning(
                "%s could not take in what was deleted, %d in number: %s",
                self._erasures.path,
                len(deleted),
                error.strerror,
            )

    def take_back(self, seq: int, *, keep_new: bool = False) -> CorpusPlan:
        """Make the documents what they were at change `seq`, by new changes, all of them or none; durable.

        What was deleted since by somebody stays deleted. Raises UsageError for a point that cannot be reached.
        """
        with self._catalog.lock("corpus"), hold_off_forks(), self.table.reported():
            state, dataset = self.recover()
            plan = plan_rollback(dataset, self.earlier, state, seq, keep_new=keep_new)
            changes = [(document, False) for document in self.earlier.documents(plan.seqs)]
            changes += [(without_text(key), True) for key in plan.withdrawn]
            if changes:
                first = state.head + 1
                dataset = self._with_columns(dataset, [document for document, _ in changes])
                rows = table_rows(changes, first_seq=first, schema=dataset.schema)
                documents = state.documents + len(plan.returning) - len(plan.withdrawn)
                deleted = [(document.key, first + n) for n, (document, gone) in enumerate(changes) if gone]
                head = CorpusState(state.head + len(changes), 0, documents)
                replaced = [document.key for document, _ in changes]
                self._commit(dataset, rows, head, deleted, expected=state, replaced=replaced)
            return plan

    def plan_rollback(self, seq: int, *, keep_new: bool = False) -> CorpusPlan:
        """What `take_back` would do now. Raises UsageError for a point that cannot be reached."""
        return self.at_head(
            lambda state: plan_rollback(self._log.whole(state.version), self.earlier, state, seq, keep_new=keep_new)
        )

    def compact(self, *, purge: bool = False, age: float = KEEP_SECONDS) -> None:
        """Merge fragments and drop versions that are older than `age` seconds.

        With `purge` all of them go, whoever reads them: no byte of a deleted text stays in the table.
        """
        with self._catalog.lock("corpus"), hold_off_forks(), self.table.reported():
            state, dataset = self.recover()
            self._compact(state, dataset, purge=purge, age=age)
            self.earlier.tidy(age, purge=purge, whole=True)

    def tidy(self, age: float) -> None:
        """Merge fragments where that pays, and drop versions older than `age` seconds; nothing while somebody writes.

        Raises CorruptArtifactError when a file that would be read is not what was acknowledged.
        """
        with suppress(LockHeldError), self._catalog.lock("corpus", timeout=0), hold_off_forks(), self.table.reported():
            state = self._ledger.state()
            self.table.require_sound([self.table.manifest(state.version)], self._catalog.files.of(CORPUS))
            dataset = self.table.at(state.version)
            if below := self.table.small_rows(dataset):
                self._compact(*self.recover(), below=below, age=age)
            elif self.table.old_versions(state.version, age=age):
                self._forget_old(dataset, self._catalog.files.of(CORPUS), age)
            # Where a writer died in between, the next one settles what it left in both tables.
            if not self.table.versions_above(self._ledger.state().version):
                self.earlier.recover(adopt=False)
                self.earlier.tidy(age)

    def recover(self) -> tuple[CorpusState, Any]:
        """The acknowledged state and its dataset; adopts what a dead writer finished but did not acknowledge.

        What a writer left that had lost its lock is dropped instead: it went on from the same head as another one, so
        its changes have seqs that are taken, and pairs past those would never see them.
        """
        self._catalog.require_present()
        state = self._ledger.state()
        digests = self._catalog.files.of(CORPUS)
        dataset = self.table.recover(state.version, digests)
        if state.version:
            self._log.require_writable(state.version)
        if dataset.version == state.version:
            self.earlier.recover(adopt=False)
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
        earlier = self.earlier.recover(adopt=bool(rows))
        self._acknowledge(adopted, deleted, commit, earlier, expected=state)
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
        if all(sound_row(row, dataset.schema) for batch in scanner.to_batches() for row in batch.to_pylist()):
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
        replaced: Sequence[str],
        erase: bool = False,
    ) -> None:
        """Write rows. `replaced`: ids among them that the log knows; `erase`: what those were before goes for good."""
        # Of a damaged file what can be read of it is kept.
        before = self._log.at(expected.version) if replaced else dataset
        earlier = self.earlier.keep(before, rows, replaced, erase=erase)
        # Also where no id is known: an append would be committed behind a writer that has overtaken this one.
        commit = self.table.merge("id", rows, onto=dataset)
        reach("corpus.merged")
        state = replace(state, version=commit.version)
        self._acknowledge(state, deleted, commit, earlier, expected=expected)
        reach("corpus.acknowledged")
        try:
            if below := self.table.small_rows(commit.dataset):
                self._compact(state, commit.dataset, below=below, after_write=True)
            elif state.version % _WRITES_UNTIL_FORGOTTEN == 0:  # where every row is replaced nothing is ever merged
                self._forget_old(commit.dataset, self._catalog.files.of(CORPUS), KEEP_SECONDS, after_write=True)
            if earlier is not None and self.earlier.table.small_rows(earlier.dataset):
                self.earlier.tidy(KEEP_SECONDS, after_write=True)
        except CorruptArtifactError as error:  # what was written is acknowledged; a check says the same
            _log.warning("the documents are not compacted: %s", error)

    def _acknowledge(
        self,
        state: CorpusState,
        deleted: Sequence[tuple[str, int]],
        commit: Commit,
        earlier: Commit | None,
        *,
        expected: CorpusState,
    ) -> None:
        self._ledger.commit(
            state,
            deleted,
            commit.files,
            expected=expected,
            earlier_version=earlier.version if earlier else None,
            earlier_files=earlier.files if earlier else None,
        )

    def _compact(
        self,
        state: CorpusState,
        dataset: Any,
        *,
        purge: bool = False,
        below: int | None = None,
        age: float = KEEP_SECONDS,
        after_write: bool = False,
    ) -> None:
        digests = self._catalog.files.of(CORPUS)
        commit = self.table.compact(onto=dataset, digests=digests, purge=purge, below=below)
        reach("corpus.compacted")
        self._ledger.commit(replace(state, version=commit.version), files=commit.files, expected=state)
        reach("corpus.compaction_acknowledged")
        if purge:
            self.table.purge_versions(digests, onto=commit.dataset)
            self._catalog.files.keep_only(CORPUS, self.table.files(commit.dataset))
        else:
            self._forget_old(commit.dataset, digests, age, after_write=after_write)

    def _forget_old(self, dataset: Any, digests: Mapping[str, str], age: float, *, after_write: bool = False) -> None:
        """Remove old versions, unless somebody goes through one of them for long: then the next compaction does."""
        try:
            with self._catalog.lock(f"reading-{CORPUS}", timeout=0):
                which = self.table.many_old_versions if after_write else self.table.old_versions
                if old := which(dataset.version, age=age):
                    self.table.forget_versions(old, digests, onto=dataset)
                    self._catalog.files.keep_only(CORPUS, self.table.names())
        except LockHeldError:
            _log.debug("old versions of the documents stay for now: they are being read")

    def _with_columns(self, dataset: Any, documents: Sequence[Document], source: str | None = None) -> Any:
        fresh = new_columns(dataset.schema, documents, source=source)
        return self.table.add_columns(fresh, onto=dataset).dataset if fresh else dataset
