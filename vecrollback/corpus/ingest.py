"""Files into the corpus, in batches that are durable one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.formats import Row, read_documents
from vecrollback.errors import BadDocumentError
from vecrollback.records import Document, Ingested, Progress, ProgressCallback, RejectedRow

_BATCH_DOCUMENTS = 5_000
_BATCH_CHARACTERS = 32 << 20
_REPORTED = 1_000


class Ingestion:
    """One run over one file. Rows take effect in their order; a later row of the same id wins."""

    def __init__(self, corpus: Corpus, *, skip_bad: bool, progress: ProgressCallback | None) -> None:
        self._corpus, self._skip_bad, self._progress = corpus, skip_bad, progress
        self._upserts: dict[str, tuple[Document, int]] = {}
        self._deletes: dict[str, int] = {}
        self._characters = 0
        self._rejected: list[RejectedRow] = []
        self._read = self._changed = self._deleted = self._bad = 0
        self._source = ""
        self._started = time.monotonic()

    def run(self, path: Path, *, id_field: str | None, text_field: str | None, changes: bool) -> Ingested:
        """Write every row. Raises BadDocumentError at the first bad one, after writing those before it."""
        self._source = str(path)
        rows = read_documents(path, id_field=id_field, text_field=text_field, changes=changes)
        try:
            for row in rows:
                self._take(row)
        finally:
            self._flush()
        return Ingested(
            seq=self._corpus.state().head,
            read=self._read,
            changed=self._changed,
            unchanged=self._read - self._changed - self._deleted - self._bad,
            deleted=self._deleted,
            rejected=tuple(self._rejected),
        )

    def _take(self, row: Row) -> None:
        self._read += 1
        if row.error is not None:
            self._reject(row.line, row.error)
        elif row.document is not None:
            self._make_room(row.document.id)
            self._upserts[row.document.id] = (row.document, row.line)
            self._characters += len(row.document.text)
        elif row.delete is not None:
            self._make_room(row.delete)
            self._deletes[row.delete] = row.line

    def _make_room(self, id_: str) -> None:
        full = len(self._upserts) + len(self._deletes) >= _BATCH_DOCUMENTS or self._characters >= _BATCH_CHARACTERS
        if full or id_ in self._upserts or id_ in self._deletes:
            self._flush()

    def _reject(self, line: int, reason: str) -> None:
        self._bad += 1
        if not self._skip_bad:
            raise BadDocumentError(
                reason,
                source=self._source,
                line=line,
                hint="everything before this line is stored; mend it and run the same command again, or --skip-bad",
            )
        if len(self._rejected) < _REPORTED:
            self._rejected.append(RejectedRow(line, reason))

    def _flush(self) -> None:
        upserts, deletes = list(self._upserts.values()), list(self._deletes)
        self._upserts, self._deletes, self._characters = {}, {}, 0
        for part in self._acceptable(upserts):
            self._changed += self._corpus.upsert(part).written
        if deletes:
            self._deleted += self._corpus.delete(deletes).deleted
        if self._progress is not None:
            done = self._read
            elapsed = time.monotonic() - self._started
            self._progress(Progress("", "ingesting", done, done, 0, 0, 0, elapsed))

    def _acceptable(self, rows: list[tuple[Document, int]]) -> Iterator[list[Document]]:
        """Those the corpus takes; a metadata type that contradicts other documents shows only there."""
        if not rows:
            return
        try:
            self._corpus.check_types([document for document, _ in rows])
            yield [document for document, _ in rows]
        except BadDocumentError:
            for document, line in rows:
                try:
                    self._corpus.check_types([document])
                    yield [document]
                except BadDocumentError as error:
                    self._reject(line, error.reason)
