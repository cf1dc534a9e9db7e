"""CSV, TSV and the like: a header, then one document a record; values stay strings."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vecrollback.corpus.documents import MAX_METADATA_BYTES, MAX_TEXT_BYTES, is_unicode
from vecrollback.corpus.formats.lines import read_lines
from vecrollback.corpus.formats.rows import Raw, ReadOptions, check_columns
from vecrollback.errors import BadDocumentError
from vecrollback.records import Json

MAX_LINE_BYTES = 2 * (MAX_TEXT_BYTES + MAX_METADATA_BYTES)
"""No valid document is longer: of a cell in quotes, each quote stands twice."""


def read_csv(source: Path, options: ReadOptions) -> Iterator[Raw]:
    """Yield each record under the column names; empty cells and nameless columns are left out of the metadata."""
    # The limit is one for the process and too low for a document; raised, it cuts short what one stray quote swallows.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_TEXT_BYTES))
    # Bytes that are not UTF-8 pass as lone surrogates, so that only their own record is lost.
    decoded = map(_decoded, read_lines(source, options.encoding))  # goes on after an error, as a generator would not
    reader = csv.reader(decoded, strict=True, delimiter=options.delimiter or ",")
    columns = _header(reader, options, source)
    required = {options.text_name} if options.generate else {options.id_name(columns), options.text_name}
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, f"not CSV: {error}"
            continue
        if cells:
            yield start, _record(columns, cells, required)


def read_tsv(source: Path, options: ReadOptions) -> Iterator[Raw]:
    """The same with tabs between the cells."""
    return read_csv(source, replace(options, delimiter=options.delimiter or "\t"))


def _decoded(line: bytes) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise csv.Error(f"a line is longer than {MAX_LINE_BYTES} bytes")
    return line.decode(errors="surrogateescape")


def _header(reader: Iterator[list[str]], options: ReadOptions, source: Path) -> list[str]:
    try:
        columns = next(reader, [])
    except csv.Error as error:
        raise BadDocumentError(f"the header is not CSV: {error}", source=str(source), line=1) from error
    names = [name for name in columns if name]
    if not all(map(is_unicode, names)):
        raise BadDocumentError("the header is not UTF-8", hint="convert the file to UTF-8", source=str(source), line=1)
    check_columns(names, options, source)
    return columns


def _record(columns: list[str], cells: list[str], required: set[str]) -> dict[str, Json] | str:
    if len(cells) != len(columns):
        return f"not CSV: {len(cells)} cells under {len(columns)} columns"
    if not all(map(is_unicode, cells)):
        return "not UTF-8"
    return {name: cell for name, cell in zip(columns, cells, strict=True) if name and (cell or name in required)}
