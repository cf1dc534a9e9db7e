"""From named fields to a row: a document, a delete, or the reason why neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from vecrollback.corpus.documents import make_document, shown, validate_id
from vecrollback.errors import BadDocumentError
from vecrollback.records import Document, Json

Raw = tuple[int, dict[str, Json] | str]
"""What a format reader yields: the line, and its named fields or the reason why there are none."""

_SHOWN = 12
_OPS = ("add", "update", "upsert", "delete")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a source: exactly one of `document`, `delete` (an id) and `error` (a reason) is set.

    `line` is 1-based: the physical line where the row starts, the row number in Parquet, the file's place in a folder.
    """

    line: int
    document: Document | None = None
    delete: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RowFields:
    """Where id and text stand; None: the usual names. `changes`: each row has an `op`."""

    id: str | None = None
    text: str | None = None
    changes: bool = False

    def id_name(self, names: Collection[str]) -> str:
        """Choose the field that holds the id."""
        return self.id or ("_id" if "_id" in names and "id" not in names else "id")

    @property
    def text_name(self) -> str:
        return self.text or "text"


def to_row(raw: Raw, fields: RowFields) -> Row:
    """Turn what a format reader yielded for one line into a row."""
    line, record = raw
    if isinstance(record, str):
        return Row(line, error=record)
    try:
        if fields.changes and _op(record) == "delete":
            return Row(line, delete=validate_id(_id(record, fields)))
        return Row(line, document=_document(record, fields))
    except BadDocumentError as error:
        return Row(line, error=error.reason)


def check_columns(columns: Collection[str], fields: RowFields, source: Path) -> None:
    """Refuse a table that cannot hold documents, before its first row."""
    required = [fields.id_name(columns), "op" if fields.changes else fields.text_name]
    absent = [name for name in required if name not in columns]
    if absent:
        names = ", ".join(map(shown, list(columns)[:_SHOWN])) or "none"
        raise BadDocumentError(
            f"column {' and '.join(map(repr, absent))} is missing; columns here: {names}",
            hint="a table needs a header with the columns id and text, or name yours (id_field, text_field)",
            source=str(source),
        )
    if twice := [name for name, times in Counter(columns).items() if times > 1]:
        raise BadDocumentError(f"two columns are called {shown(twice[0])}", hint="rename one", source=str(source))


def _op(record: dict[str, Json]) -> str:
    op = record.get("op")
    if op not in _OPS:
        raise BadDocumentError(f"the op is {shown(op)}, not one of {', '.join(_OPS)}")
    return str(op)


def _id(record: dict[str, Json], fields: RowFields) -> str:
    name = fields.id_name(record)
    if name not in record:
        raise BadDocumentError(f"field {name!r}, which holds the id, is missing")
    value = record[name]
    # JSON and Parquet keys are often integers. A float is refused: 1e3 and 1000.0 would be two ids for one number.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _document(record: dict[str, Json], fields: RowFields) -> Document:
    id = _id(record, fields)
    if fields.text_name not in record:
        raise BadDocumentError(f"document {shown(id)}: field {fields.text_name!r}, which holds the text, is missing")
    text, title = record[fields.text_name], record.get("title")
    if fields.text is None and isinstance(text, str) and isinstance(title, str) and title:
        text = f"{title}\n{text}"
    return make_document(id, text, _metadata(record, fields))


def _metadata(record: dict[str, Json], fields: RowFields) -> dict[str, Json]:
    own = {fields.id_name(record), fields.text_name} | ({"op"} if fields.changes else set())
    metadata = {name: value for name, value in record.items() if name not in own}
    if isinstance(metadata.get("metadata"), dict):
        metadata |= metadata.pop("metadata")
    return metadata
