"""An opened source with its columns found: a population to audit, and rows to bring in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np

from vecrollback.connectors import ColumnNames, Connector, Part, Record, names_place, open_connector
from vecrollback.connectors.base import guess
from vecrollback.corpus.documents import shown, validate
from vecrollback.corpus.formats import ReadOptions, Row
from vecrollback.errors import BadDocumentError, UsageError
from vecrollback.quality.doctor import rows as meaning
from vecrollback.quality.doctor.layouts import Layout, fields_of, fill, recognise
from vecrollback.quality.doctor.reading import ChosenRows, SourceReading, rows_where
from vecrollback.records import Document
from vecrollback.records.arrays import FloatArray, Numbers, Times

_SHOWN_ROWS = 20


class ForeignIndex:
    """Vectors by row, with ids, texts and metadata. Reads only; close it.

    Batches and times are known once `tell` was called with what one pass over the rows found. Without `blanks_count` a
    blank text is as good as none: some models have no vector for it.
    """

    def __init__(
        self,
        place: str,
        *,
        texts: Path | None = None,
        fields: ColumnNames | None = None,
        reading: SourceReading | None = None,
        texts_only: bool = False,
    ) -> None:
        fields, self._reading = fields or ColumnNames(), reading or SourceReading()
        self._opened = open_connector(place, texts=texts, vector=fields.vector, texts_only=texts_only)
        self.connector: Connector = self._opened
        self.place, self.count, self.dimension = self.connector.place, self.connector.count, self.connector.dimension
        try:
            self._find_columns(fields)
            if self._reading.where is not None:
                self._choose(rows_where(self._opened, self._reading.where, self.id_field))
        except BaseException:
            self.close()
            raise
        self.blanks_count = True
        self._batches: Numbers | None = None
        self._times: Times | None = None

    def part(self, rows: Numbers) -> ForeignIndex:
        """Some of the rows as a source of their own; closing it closes nothing. `rows`: int64, ascending."""
        some = copy(self)
        some._choose(rows)
        some._opened, some.dimension = some.connector, self.connector.dimension
        some._batches = some._times = None
        return some

    def try_template(self, template: str | None, layout: Layout | None) -> ForeignIndex:
        """The same rows, of which something else is taken for what was embedded."""
        other = copy(self)
        other._reading, other.layout = replace(self._reading, template=template), layout
        other._roots = other._roots_needed()
        return other

    def tell(self, batches: Numbers | None, times: Times | None) -> None:
        """Note the ingest batch and the time of each row."""
        self._batches, self._times = batches, times

    def narrow(self, width: int) -> None:
        """Leave out the numbers from `width` on, which are zero in every vector."""
        self.dimension = width

    def parts(self) -> Iterator[tuple[int, Part]]:
        """First row and part, in order: vectors, and of the fields those that tell something here."""
        fields = [name for name in self.connector.fields if name in self._roots or name in meaning.TELLING]
        first = 0
        for part in self.connector.scan(fields):
            yield first, part
            first += len(part.vectors)

    def document_of(self, record: Record, row: int) -> Document:
        """The row as a document. Raises BadDocumentError."""
        if meaning.value_of(record, self.id_field) is None:
            raise BadDocumentError(f"field {self.id_field!r}, which holds the id, is missing")
        beside, embedded = meaning.text_of(record, self.text_field), self.text_of(record)
        bare = self.layout.bare(record, beside) if self.layout is not None and not self._text_is_named else beside
        text = embedded if bare is None else bare
        if text is None or embedded is None:
            raise BadDocumentError(f"document {shown(self.id_of(record, row))}: no {self.text_field!r} holds a text")
        keys = self.layout.keys if self.layout is not None else ()
        # A field that has the name of one for texts, and something else than the text in it, is metadata.
        metadata = meaning.metadata_of(record, (self.id_field, self.text_field if beside == text else None, *keys))
        more = None if embedded == text else embedded
        return validate(Document(self.id_of(record, row), text, metadata, embedded_text=more))

    def id_of(self, record: Record, row: int) -> str:
        return meaning.id_of(record, self.id_field, row)

    def text_of(self, record: Record) -> str | None:
        """What was embedded of the row."""
        if self._reading.template is not None:
            return fill(self._reading.template, record)
        text = meaning.text_of(record, self.text_field)
        return self.layout.embedded(record, text) if self.layout is not None else text

    # -- a population -------------------------------------------------------------------------------------------------

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """First row and vectors of each block; NaN where a row has none of the right size."""
        first = 0
        for part in self.connector.scan(()):
            yield first, part.vectors[:, : self.dimension]
            first += len(part.vectors)

    def vectors(self, rows: Numbers) -> FloatArray:
        """Vectors of these rows, in the order asked for."""
        return self.connector.take(rows, ()).vectors[:, : self.dimension]

    def keep(self) -> Callable[[FloatArray], FloatArray] | None:
        """What the place gives back of vectors put into it; None where they come back as they were."""
        round_trip = getattr(self.connector, "rounded", None)
        if round_trip is None or self.dimension == self.connector.dimension:
            return cast("Callable[[FloatArray], FloatArray] | None", round_trip)
        more, width = self.connector.dimension - self.dimension, self.dimension
        return lambda vectors: np.asarray(round_trip(np.pad(vectors, ((0, 0), (0, more))))[:, :width], np.float32)

    def texts(self, rows: Numbers) -> list[str | None]:
        """Texts of these rows; None where there is none."""
        if not self.has_texts:
            return [None] * len(rows)
        part = self.connector.take(rows, self._roots, vectors=False)
        texts = [self.text_of(record) for record in part.records]
        return texts if self.blanks_count else [text if text and text.strip() else None for text in texts]

    def ids(self, rows: Numbers) -> list[str]:
        """Ids of these rows; a row's number where there is no id."""
        if self.id_field is None:
            return [str(row) for row in rows.tolist()]
        part = self.connector.take(rows, [self.root_of(self.id_field)], vectors=False)
        return [self.id_of(record, row) for record, row in zip(part.records, rows.tolist(), strict=True)]

    def batches(self) -> Numbers | None:
        return self._batches

    def times(self) -> Times | None:
        return self._times

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> ForeignIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find_columns(self, fields: ColumnNames) -> None:
        """Which fields hold id and text, and what of a row was embedded."""
        names = fields_of(self._reading.template) if self._reading.template is not None else []
        rows = np.arange(min(self.count, _SHOWN_ROWS))
        records = self.connector.take(rows, None, vectors=False).records
        self.layout = recognise(records, self._reading.layout) if self._reading.template is None else None
        ids = self.layout.ids if self.layout else ()
        texts = self.layout.texts if self.layout else ()
        self._text_is_named = fields.text is not None
        self.id_field = self._field((*ids, *meaning.ID_NAMES), fields.id, "--id-field")
        self.text_field = self._field((*texts, *meaning.TEXT_NAMES), fields.text, "--text-field") or self._deeper()
        if records and names and all(fill(self._reading.template or "", one) is None for one in records):
            raise UsageError(
                f"{self.place}: no row has all the fields of the template ({', '.join(names)})",
                hint=f"fields here: {', '.join(self.connector.fields)}",
            )
        self._roots = self._roots_needed()

    def _roots_needed(self) -> list[str]:
        """The fields that id and text are made of."""
        template = self._reading.template
        names = [name for name in (self.id_field, self.text_field) if name]
        names += fields_of(template) if template is not None else []
        roots = [self.root_of(name) for name in names]
        if template is not None or self.layout is not None:
            signs = self.layout.signs if self.layout else ()
            roots += [name for name in self.connector.fields if name in meaning.NESTED or name in signs]
        return list(dict.fromkeys(roots))

    def root_of(self, name: str) -> str:
        """The field of the place in which a field by its path stands."""
        return name if name in self.connector.fields else name.partition(".")[0]

    @property
    def has_texts(self) -> bool:
        """Whether anything says what was embedded."""
        return self.text_field is not None or self._reading.template is not None or self.layout is not None

    def _choose(self, rows: Numbers) -> None:
        self.connector = ChosenRows(self.connector, rows)
        self.count = len(rows)

    def _deeper(self) -> str | None:
        """The text where it stands among other fields inside of one: `metadata.text`."""
        rows = np.arange(min(self.count, _SHOWN_ROWS))
        names = [name for name in self.connector.fields if name in meaning.NESTED]
        records = self.connector.take(rows, names, vectors=False).records if names else []
        paths = (f"{outer}.{text}" for outer in names for text in meaning.TEXT_NAMES)
        return next((p for p in paths if any(isinstance(meaning.value_of(r, p), str) for r in records)), None)

    def _field(self, usual: tuple[str, ...], name: str | None, option: str) -> str | None:
        fields = self.connector.fields
        if name and "." in name and name.partition(".")[0] in fields:
            return name
        return guess(usual, fields, name, self.place, option)


def files_and_rows(paths: Sequence[str | Path], options: ReadOptions) -> tuple[list[str | Path], Iterator[Row]]:
    """Tell files from indexes, of which the documents are read without a look at the vectors: these may be damaged.

    Args:
        paths: Of files and folders; or indexes, as `open_connector` takes them.
        options: `id` and `text` name fields where the usual names do not say it.

    Returns:
        The files, and a row for each row of the indexes; one that is not a valid document has its reason.

    Raises:
        UsageError: Options are given that an index has no use for; from the rows: an index is not there.
    """
    places = [one for one in paths if isinstance(one, str) and names_place(one)]
    if places and (options.changes or options.generate):
        raise UsageError("an index holds documents with ids, and no changes", hint="ingest it by itself")
    rows = chain.from_iterable(_rows_of(one, ColumnNames(options.id, options.text)) for one in places)
    return [one for one in paths if one not in places], rows


def _rows_of(place: str, fields: ColumnNames) -> Iterator[Row]:
    with ForeignIndex(place, fields=fields, texts_only=True) as source:
        number = 0
        for part in source.connector.scan(None, vectors=False):
            for record in part.records:
                number += 1
                try:
                    yield Row(number, source.document_of(record, number - 1), source=source.place)
                except BadDocumentError as error:
                    yield Row(number, error=error.message, source=source.place)
