"""Files into the corpus, in batches that are durable one by one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TypedDict

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.formats import ReadOptions, Row, read_sources
from vecrollback.corpus.mirror import Mirror, SeenRows
from vecrollback.errors import BadDocumentError, UsageError
from vecrollback.records import Document, Ingested, Progress, ProgressCallback, RejectedRow, Where

_BATCH_ROWS = 5_000
_BATCH_CHARACTERS = 32 << 20
_REPORTED = 1_000


class IngestOptions(TypedDict, total=False):
    """How `ingest` reads its sources, and what a mirror may delete.

    Attributes:
        format: Of all sources, as a suffix without its dot: `jsonl`, `csv`, ...; by each file's name otherwise.
        delimiter: Between the cells of a table: `;` for instance.
        encoding: Of texts and tables that are not in UTF-8: `latin-1`, `cp1252`, ...
        generate_ids: Rows have no id of their own. It is made from the text and the metadata: the same document has the
            same id each time, and a changed one is another.
        within: With `mirror`: a filter. Only documents that match it are deleted.
        override: With `mirror`: delete also more than half of the documents.
        dry_run: Write and delete nothing; tell what a mirror would delete.
    """

    format: str
    delimiter: str
    encoding: str
    generate_ids: bool
    within: Where | None
    override: bool
    dry_run: bool


def read_options(
    id_field: str | None, text_field: str | None, changes: bool, mirror: bool, asked: IngestOptions
) -> ReadOptions:
    """What was asked for, for the readers. Raises UsageError for what does not go together."""
    if mirror and changes:
        raise UsageError("a mirror is made from documents, not from changes", hint="leave out one of the two")
    if not mirror and (asked.get("within") or asked.get("override")):
        raise UsageError(
            "`within` and `override` say what a mirror deletes", hint="ask for a mirror, or leave them out"
        )
    return ReadOptions(
        id_field,
        text_field,
        changes,
        asked.get("generate_ids", False),
        asked.get("format", ""),
        asked.get("delimiter", ""),
        asked.get("encoding", ""),
    )


class Ingestion:
    """One run over some sources. Rows take effect in their order; a later row of the same id wins.

    Of the rows of one id in a batch only the last one is written; what a delete among them erases goes all the same.
    `dry_run`: read everything and write nothing.
    """

    def __init__(
        self, corpus: Corpus, *, skip_bad: bool, progress: ProgressCallback | None, dry_run: bool = False
    ) -> None:
        self._corpus, self._skip_bad, self._progress, self._dry_run = corpus, skip_bad, progress, dry_run
        self._upserts: dict[str, Document] = {}
        self._deletes: dict[str, None] = {}
        self._rows = self._characters = 0
        self._rejected: list[RejectedRow] = []
        self._read = self._changed = self._deleted = self._bad = 0
        self._seen = SeenRows()
        self._started = time.monotonic()

    def run(
        self,
        paths: Sequence[str | PathLike[str]],
        options: ReadOptions,
        mirror: Mirror | None = None,
        rows: Iterable[Row] = (),
    ) -> Ingested:
        """Write every row, of files and then those that come besides, and delete what a mirror has too much.

        Raises BadDocumentError at the first bad row, after writing those before it.
        """
        try:
            for row in chain(read_sources(paths, options), rows):
                self._take(row)
        finally:
            self._flush()
        gone, refusal = self._compare(mirror, options, paths) if mirror else ([], "")
        if mirror and not self._dry_run:
            gone = self._delete(gone, mirror.seq)
        overwritten, repeated = (0, 0) if options.changes else self._seen.repeats()
        return Ingested(
            seq=self._corpus.state().head,
            read=self._read,
            changed=self._changed,
            unchanged=self._read - self._changed - self._deleted - self._bad,
            deleted=self._deleted,
            rejected=tuple(self._rejected),
            overwritten=overwritten,
            repeated=repeated,
            gone=len(gone),
            gone_ids=tuple(gone[:_REPORTED]),
            left_out=dict(options.left_out + options.unreadable),
            not_mirrored=refusal,
        )

    def _compare(
        self, mirror: Mirror, options: ReadOptions, paths: Sequence[str | PathLike[str]]
    ) -> tuple[list[str], str]:
        """What a mirror is to delete, or why it is to delete nothing."""
        return mirror.gone(self._seen, self._doubt(options), options.passed_over, [Path(path) for path in paths])

    def _delete(self, gone: Sequence[str], since: int) -> list[str]:
        """Delete what nobody has written meanwhile."""
        deleted: list[str] = []
        for first in range(0, len(gone), _BATCH_ROWS):
            batch = gone[first : first + _BATCH_ROWS]
            theirs = self._corpus.changed_since(batch, since)
            deleted += (own := [id_ for id_ in batch if id_ not in theirs])
            self._corpus.delete(own, since=since)
        return deleted

    def _doubt(self, options: ReadOptions) -> str:
        """Why a document that was not read may be in the sources all the same; "" when it cannot."""
        if self._bad:
            return f"{self._bad} rows were rejected, and may be documents that are here"
        return f"some files could not be read: {', '.join(options.unreadable)}" if options.unreadable else ""

    def _take(self, row: Row) -> None:
        self._read += 1
        if row.error is not None:
            self._reject(row, row.error)
        elif row.document is not None:
            self._seen.note(document := self._as_known(row.document, row.spelling))
            self._withdraw(document.id)
            self._upserts[document.id] = document
            self._characters += len(document.text)
            self._flush_full()
        elif row.delete is not None:
            self._withdraw(row.delete)
            self._deletes[row.delete] = None
            self._flush_full()

    def _withdraw(self, id_: str) -> None:
        """Take back what an earlier row of the same id wrote; a delete stays, for it erases what the store has."""
        if (earlier := self._upserts.pop(id_, None)) is not None:
            self._characters -= len(earlier.text)

    def _flush_full(self) -> None:
        self._rows += 1  # of one id there may be any number
        if self._rows >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS:
            self._flush()

    def _as_known(self, document: Document, spelling: str) -> Document:
        """A file's document under its name; under the other spelling of it where the store has it so."""
        if not spelling or not self._corpus.get([spelling], version=self._corpus.state().version):
            return document
        return replace(document, id=spelling, metadata={**document.metadata, "path": spelling})

    def _reject(self, row: Row, reason: str) -> None:
        self._bad += 1
        if not self._skip_bad:
            raise BadDocumentError(
                reason,
                source=row.source,
                line=row.line,
                hint="everything before this line is stored; mend it and run the same command again, or --skip-bad",
            )
        if len(self._rejected) < _REPORTED:
            self._rejected.append(RejectedRow(row.line, reason, row.source))

    def _flush(self) -> None:
        upserts = list(self._upserts.values())
        back = [id_ for id_ in self._deletes if id_ in self._upserts]
        gone = [id_ for id_ in self._deletes if id_ not in self._upserts]
        self._upserts, self._deletes, self._rows, self._characters = {}, {}, 0, 0
        if self._dry_run:
            return
        if back:
            self._deleted += self._corpus.delete(back).deleted
        if upserts:
            self._changed += self._corpus.upsert(upserts).written
        if gone:
            self._deleted += self._corpus.delete(gone).deleted
        if self._progress is not None:
            done = self._read
            elapsed = time.monotonic() - self._started
            self._progress(Progress("", "ingesting", done, done, 0, 0, 0, elapsed))
