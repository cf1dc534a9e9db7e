"""Documents and changes read from files, one row at a time.

===========================  ==========================================================
`.jsonl`, `.ndjson`          one JSON object a line
`.csv`                       comma-separated with a header; every value stays a string
`.parquet`                   one document a row
a folder                     its `.md` and `.txt` files; the path is the id
===========================  ==========================================================

The text formats may be compressed, `.gz` or `.zst`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from vecrollback.corpus.formats.delimited import read_csv
from vecrollback.corpus.formats.folder import read_folder
from vecrollback.corpus.formats.lines import read_jsonl, unreadable
from vecrollback.corpus.formats.parquet import read_parquet
from vecrollback.corpus.formats.rows import Raw, Row, RowFields, to_row
from vecrollback.errors import BadDocumentError

__all__ = ["FORMATS", "Row", "read_documents"]

FORMATS = ".jsonl, .ndjson and .csv (each also .gz and .zst), .parquet, or a folder of .md and .txt files"

_READERS: dict[str, Callable[[Path, RowFields], Iterator[Raw]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


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
    other fields, and a named text stands alone. An object in the field `metadata` is merged into the metadata and wins
    over fields of the same name. With `changes` each row says in `op` what happened: add, update, upsert, or delete,
    which needs only the id.

    A row that is not a document comes back as its reason and reading goes on. BadDocumentError: the file is missing, of
    no known format, lacks the columns, or breaks off; raised by this call, or at the row where it shows.
    """
    source = Path(path)
    fields = RowFields(id_field, text_field, changes)
    if _is_folder(source):
        if fields != RowFields():
            raise BadDocumentError(
                "a folder of texts has no fields and no changes",
                hint="leave out the field names, or write the changes as .jsonl",
                source=str(source),
            )
        raws = read_folder(source)
    else:
        raws = _reader(source)(source, fields)
    return (to_row(raw, fields) for raw in raws)


def _is_folder(source: Path) -> bool:
    try:
        return stat.S_ISDIR(source.stat().st_mode)
    except (OSError, ValueError) as error:
        raise unreadable(source, error) from error


def _reader(source: Path) -> Callable[[Path, RowFields], Iterator[Raw]]:
    suffixes = [suffix.lower() for suffix in source.suffixes]
    compressed = suffixes[-1:] in ([".gz"], [".zst"])
    kind = "".join(suffixes[-2:-1] if compressed else suffixes[-1:])
    reader = _READERS.get(kind)
    if reader is None or (compressed and reader is read_parquet):
        raise BadDocumentError(f"unknown format {source.name!r}", hint=f"readable: {FORMATS}", source=str(source))
    return reader
