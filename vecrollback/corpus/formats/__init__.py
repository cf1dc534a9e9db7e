"""Documents and changes read from files, one row at a time.

================================================  ====================================================================
`.jsonl`, `.ndjson`                               one JSON object a line
`.json`                                           a list of objects, an object with such a list, or objects by id
`.csv`, `.tsv`, `.tab`                            a header, then cells between commas or tabs; every value is a string
`.parquet`                                        one document a row; columns of vectors are left out
`.md`, `.txt`, `.html`, `.htm`, `.docx`, `.pdf`   one document, its name the id
a folder                                          those of the last line below it, each path an id; else its parts
================================================  ====================================================================

Lines and tables may be compressed, `.gz` or `.zst`. `-` is standard input, JSON Lines unless `format` says otherwise.
"""

from __future__ import annotations

import codecs
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vecrollback.corpus.formats.delimited import read_csv, read_tsv
from vecrollback.corpus.formats.folder import LINKED_FOLDERS, leave_out, read_folder, read_page, walk
from vecrollback.corpus.formats.json_file import read_json
from vecrollback.corpus.formats.lines import STDIN, read_jsonl, unreadable
from vecrollback.corpus.formats.pages import PAGES
from vecrollback.corpus.formats.parquet import read_parquet
from vecrollback.corpus.formats.rows import PassedOver, Raw, ReadOptions, Row, to_row
from vecrollback.errors import BadDocumentError, UsageError

__all__ = ["FORMATS", "ReadOptions", "Row", "read_documents", "read_sources"]

FORMATS = (
    ".jsonl, .ndjson, .json, .csv and .tsv (each also .gz and .zst), .parquet, "
    f"{', '.join(PAGES)}, or a folder of these"
)

Reader = Callable[[Path, ReadOptions], Iterator[Raw]]

_READERS: Mapping[str, Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".tab": read_tsv,
    ".parquet": read_parquet,
    **dict.fromkeys(PAGES, read_page),
}
_WHOLE = (read_parquet, read_page)
"""Readers of files that are never compressed, and never come in on standard input."""


def read_documents(
    path: str | os.PathLike[str],
    *,
    id_field: str | None = None,
    text_field: str | None = None,
    changes: bool = False,
) -> Iterator[Row]:
    """Read documents, or changes to documents, from a file or folder of any size.

    The id is the field `id`, else `_id` (an integer becomes its decimal string); the text is `text`, after `title` and
    a newline where there is a title; every other field is metadata, the title too. `id_field` and `text_field` name
    other fields, `a.b` one inside another, and a named text stands alone. An object in the field `metadata` is merged
    into the metadata and wins over fields of the same name. With `changes` each row says in `op` what happened: add,
    update, upsert, or delete, which needs only the id.

    A row that is not a document comes back as its reason and reading goes on. BadDocumentError: the file is missing, of
    no known format, lacks the columns, or breaks off; raised by this call, or at the row where it shows.
    """
    return read_sources([path], ReadOptions(id_field, text_field, changes))


def read_sources(paths: Sequence[str | os.PathLike[str]], options: ReadOptions) -> Iterator[Row]:
    """The same of several files and folders, one after the other, read as `options` say.

    Raises:
        UsageError: An option is not valid.
        BadDocumentError: As `read_documents`; every path is looked at before the first row comes.
    """
    _require_valid(options)
    opened = [part for path in paths for part in _parts(Path(path), options)]
    return (row for source, read in opened for row in _rows(source, read, options))


def _parts(source: Path, options: ReadOptions) -> list[tuple[Path, Reader]]:
    """The files that a path stands for, or the folder of texts, each with what reads it."""
    if not _is_folder(source):
        return [(source, _reader(source, options))]
    around = ReadOptions()
    try:
        files = list(walk(source, around))
    except OSError as error:
        raise unreadable(Path(error.filename or source), error) from error
    # A folder of texts may hold tables for its readers; a folder that a job wrote holds nothing but parts.
    tables = [file for file in files if not file.name.startswith("_") and _is_table(file)]
    if not tables or any(file.suffix.lower() in PAGES for file in files):
        if options.row_fields or options.generate:
            raise BadDocumentError(
                "a folder of texts has no fields and no changes",
                hint="leave out the field names, or write the changes as .jsonl",
                source=str(source),
            )
        options.passed_over.extend(_unread_table(file, source) for file in tables)
        return [(source, read_folder)]
    for file in sorted(set(files) - set(tables)):
        part = file.with_suffix("")  # of one that is packed in another way, or is being written
        leave_out(file, source, options, holds_rows=part not in tables and _is_table(part))
    options.left_out.update(around.left_out)
    linked = (one for one in around.passed_over if one.kind == LINKED_FOLDERS)
    options.passed_over.extend(replace(one, holds_rows=True) for one in linked)
    return [(file, _reader(file, options)) for file in tables]


def _unread_table(file: Path, root: Path) -> PassedOver:
    return PassedOver(root, file.relative_to(root).as_posix(), file.suffix.lower(), holds_rows=True, among_texts=True)


def _rows(source: Path, read: Reader, options: ReadOptions) -> Iterator[Row]:
    texts = read in (read_folder, read_page)
    fields = replace(options, id=None, text=None, changes=False, generate=False) if texts else options
    for raw in read(source, fields):
        row = to_row(raw, fields, str(source))
        yield _composed(row) if texts else row


def _composed(row: Row) -> Row:
    """The row of a file under its name in composed characters; macOS takes them apart."""
    document = row.document
    if document is None or unicodedata.is_normalized("NFC", document.id):
        return row
    name = unicodedata.normalize("NFC", document.id)
    metadata = {**document.metadata, "path": name}
    return replace(row, document=replace(document, id=name, metadata=metadata), spelling=document.id)


def _is_folder(source: Path) -> bool:
    if source == STDIN:
        return False
    try:
        return stat.S_ISDIR(source.stat().st_mode)
    except (OSError, ValueError) as error:
        raise unreadable(source, error) from error


def _kind(source: Path) -> tuple[str, bool]:
    """What a file is by its suffixes, and whether it is compressed."""
    suffixes = [suffix.lower() for suffix in source.suffixes]
    compressed = suffixes[-1:] in ([".gz"], [".zst"])
    return "".join(suffixes[-2:-1] if compressed else suffixes[-1:]), compressed


def _is_table(source: Path) -> bool:
    return _READERS.get(_kind(source)[0]) not in (None, read_page)


def _reader(source: Path, options: ReadOptions) -> Reader:
    kind, compressed = _kind(source)
    if options.format or source == STDIN:
        kind = f".{options.format or 'jsonl'}"
    reader = _READERS.get(kind)
    if reader is None or (reader in _WHOLE and (compressed or source == STDIN)):
        raise BadDocumentError(f"unknown format {source.name!r}", hint=f"readable: {FORMATS}", source=str(source))
    return reader


def _require_valid(options: ReadOptions) -> None:
    if options.format and f".{options.format}" not in _READERS:
        known = ", ".join(name.removeprefix(".") for name in _READERS)
        raise UsageError(f"{options.format!r} is not a known format", hint=f"one of: {known}")
    if options.delimiter and (len(options.delimiter) != 1 or options.delimiter in '"\r\n'):
        raise UsageError(f"{options.delimiter!r} is not a valid delimiter", hint="one character, such as ; or a tab")
    if options.generate and (options.id is not None or options.changes):
        raise UsageError("ids are generated or named, not both", hint="leave out the field of the id, and changes")
    try:
        codecs.lookup(options.encoding or "utf-8")
    except LookupError:
        raise UsageError(f"{options.encoding!r} is not a known encoding", hint="for example latin-1, cp1252") from None
