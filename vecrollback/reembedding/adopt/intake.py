"""One pass over a source that writes its documents to the log, and its proven vectors to a table to take them from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.documents import content_hash
from vecrollback.corpus.mirror import SeenRows
from vecrollback.corpus.sources import TakenIn, take_in
from vecrollback.embedders import Embedder
from vecrollback.errors import BadDocumentError
from vecrollback.pairs.vectors import Vectors, schema
from vecrollback.quality.doctor import ForeignIndex
from vecrollback.records import Document, Span
from vecrollback.records.arrays import FloatArray
from vecrollback.storage import LocalFileStore
from vecrollback.storage.local import reach

_BATCH_CHARACTERS = 32 << 20


@dataclass(slots=True)
class Counts:
    """Rows so far, and documents that no row is of any more; see `AdoptResult`."""

    documents: int = 0
    taken: TakenIn = field(default_factory=TakenIn)
    gone: int = 0
    damaged: int = 0
    split: int = 0
    left_out: int = 0


@dataclass(slots=True)
class _Batch:
    documents: list[Document] = field(default_factory=list)
    proven: list[int] = field(default_factory=list)
    vectors: list[FloatArray] = field(default_factory=list)
    characters: int = 0


class Intake:
    """Reads the source once.

    `origin`: what the log calls it. `doubts`: True for each row whose vector is not to be taken over, shape (rows,).
    """

    def __init__(
        self,
        source: ForeignIndex,
        corpus: Corpus,
        origin: str,
        embedder: Embedder,
        doubts: NDArray[np.bool_],
        *,
        skip_bad: bool,
        on_batch: Callable[[Counts], None],
    ) -> None:
        self._source, self._corpus, self._origin = source, corpus, origin
        self._embedder, self._doubts = embedder, doubts
        self._skip_bad, self._on_batch, self._seen = skip_bad, on_batch, SeenRows()
        self.counts = Counts()

    def run(self, folder: Path) -> tuple[Vectors, int]:
        """Write everything; returns the table of vectors, in `folder`, and its version. Raises BadDocumentError."""
        table = Vectors(LocalFileStore(folder / "proven.lance"), self._embedder.dimension)
        version, batch, row = table.create().version, _Batch(), 0
        for part in self._source.connector.scan(None):
            for record, vector in zip(part.records, part.vectors, strict=True):
                self._take(batch, row, self._document(record, row), vector)
                row += 1
                if batch.characters >= _BATCH_CHARACTERS:
                    version, batch = self._write(batch, table, version), _Batch()
            version, batch = self._write(batch, table, version), _Batch()
        return table, version

    def delete_gone(self, *, override: bool) -> None:
        """Delete what was taken from the source by an earlier run, and is in none of its rows now.

        Raises RefusedError for more than half of it, unless that is meant. Where rows were left out nothing is deleted:
        one of them may be the document that seems to be gone.
        """
        if self.counts.left_out:
            return
        head = self._corpus.state().head
        gone = self._seen.gone(self._corpus.taken_from(self._origin), override=override)
        self.counts.gone = self._corpus.delete(gone, source=self._origin, since=head).deleted

    def _document(self, record: dict[str, object], row: int) -> Document | None:
        try:
            return self._source.document_of(record, row)
        except BadDocumentError as error:
            if not self._skip_bad:
                raise BadDocumentError(
                    f"row {row}: {error.reason}",
                    source=self._source.place,
                    hint="mend the row, or leave such rows out with --skip-bad; what came before it is stored",
                ) from error
            self.counts.left_out += 1
            return None

    def _take(self, batch: _Batch, row: int, document: Document | None, vector: FloatArray) -> None:
        if document is None:
            return
        batch.documents.append(document)
        self._seen.note(document)
        batch.characters += len(document.text)
        spans = self._embedder.chunk(document.text_for_model)
        if not spans or self._doubts[row]:
            return
        if spans != [Span(0, len(document.text_for_model))]:
            self.counts.split += 1
            return
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or not length:
            self.counts.damaged += 1
            return
        batch.proven.append(len(batch.documents) - 1)
        batch.vectors.append(vector / np.float32(length) if self._embedder.metric == "cosine" else vector)

    def _write(self, batch: _Batch, table: Vectors, version: int) -> int:
        if batch.documents:
            self.counts.documents += len(batch.documents)
            self.counts.taken += take_in(self._corpus, batch.documents, self._origin)
            reach("adopt.documents_written")
        if batch.proven:
            version = table.append(self._rows(batch), known=version).version
        self._on_batch(self.counts)
        return version

    def _rows(self, batch: _Batch) -> pa.Table:
        documents = [batch.documents[at] for at in batch.proven]
        nothing = np.zeros(len(documents), np.int64)
        flat = pa.array(np.concatenate(batch.vectors))
        columns = [
            pa.array([document.id for document in documents], pa.string()),
            pa.array(nothing),
            pa.array(nothing),
            pa.array(nothing.astype(np.int32)),
            pa.array(nothing.astype(np.int32)),
            pa.array([len(document.text_for_model) for document in documents], pa.int32()),
            pa.array([content_hash(document.text_for_model) for document in documents], pa.binary(16)),
            pa.array([self._embedder.fingerprint] * len(documents), pa.string()),
            pa.FixedSizeListArray.from_arrays(flat, self._embedder.dimension),
        ]
        return pa.Table.from_arrays(columns, schema=schema(self._embedder.dimension))
