"""From named fields to a row: a document, a delete, or the reason why neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from vecrollback.corpus.documents import document_digest, make_document, shown, validate_id
from vecrollback.errors import BadDocumentError
from vecrollback.records import Document, Json

Raw = tuple[int, dict[str, Json] | str]
"""What a format reader yields: the line, and its named fields or the reason why there are none."""

_SHOWN = 12
_ABSENT = object()
_OPS = ("add", "update", "upsert", "delete")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a source: exactly one of `document`, `delete` (an id) and `error` (a reason) is set.

    `line` is 1-based: the physical line where the row starts, the row number in Parquet, the place in a JSON list, the
    file's place in a folder. `source`: the file. `spelling`: of an id whose characters were composed, as it was.
    """

    line: int
    document: Document | None = None
    delete: str | None = None
    error: str | None = None
    source: str = field(default="", compare=False)
    spelling: str = ""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A file or folder below a source that was not read, though it is there.

    Attributes:
        root: The source, a folder.
        place: The path below it: the id of the document that this would be, or how the ids of its documents begin.
        kind: What it is.
        holds_rows: Its documents may have any other id, as those of a table have.
        among_texts: It is a table in a folder of texts.
    """

    root: Path
    place: str
    kind: str
    holds_rows: bool = False
    among_texts: bool = False

    @property
    def path(self) -> Path:
        return self.root / self.place


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How sources are read, and what of them was not.

    Attributes:
        id: Field that holds the id, `a.b` for one inside another; None: the usual names.
        text: Field that holds the text, likewise.
        changes: Each row has an `op`.
        generate: Ids are made from what a document says.
        format: As a suffix, `csv`; "": by each file's name.
        delimiter: Between the cells of a table; "": a comma, or a tab in .tsv.
        encoding: Of text that has no byte order mark; "": UTF-8, or what a page says itself.
        left_out: Files and columns that hold no documents, counted by what they are.
        unreadable: The same of those that would, if a package were there.
        passed_over: Where the files and folders are that were left out.
    """

    id: str | None = None
    text: str | None = None
    changes: bool = False
    generate: bool = False
    format: str = ""
    delimiter: str = ""
    encoding: str = ""
    left_out: Counter[str] = field(default_factory=Counter, compare=False)
    unreadable: Counter[str] = field(default_factory=Counter, compare=False)
    passed_over: list[PassedOver] = field(default_factory=list, compare=False)

    def pass_over(self, path: Path, root: Path, kind: str, *, holds_rows: bool = False) -> None:
        """Leave out a file or folder below a source."""
        self.left_out[kind] += 1
        self.passed_over.append(PassedOver(root, path.relative_to(root).as_posix(), kind, holds_rows))

    def id_name(self, names: Collection[str]) -> str:
        """Choose the field that holds the id."""
        return self.id or ("_id" if "_id" in names and "id" not in names else "id")

    @property
    def text_name(self) -> str:
        return self.text or "text"

    @property
    def row_fields(self) -> bool:
        """Whether fields of rows are named, which a text has not."""
        return self.id is not None or self.text is not None or self.changes


def to_row(raw: Raw, fields: ReadOptions, source: str = "") -> Row:
    """Turn what a format reader yielded for one line into a row."""
    line, record = raw
    if isinstance(record, str):
        return Row(line, error=record, source=source)
    try:
        if fields.changes and _op(record) == "delete":
            return Row(line, delete=validate_id(_id(record, fields)), source=source)
        return Row(line, document=_document(record, fields), source=source)
    except BadDocumentError as error:
        return Row(line, error=error.reason, source=source)


def check_columns(columns: Collection[str], fields: ReadOptions, source: Path) -> None:
    """Refuse a table that cannot hold documents, before its first row."""
    named = [] if fields.generate else [fields.id_name(columns)]
    required = [*named, "op" if fields.changes else fields.text_name]
    absent = [name for name in required if name not in columns and name.partition(".")[0] not in columns]
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


def _id(record: dict[str, Json], fields: ReadOptions) -> str:
    name = fields.id_name(record)
    value = _value(record, name)
    if value is _ABSENT:
        raise BadDocumentError(f"field {name!r}, which holds the id, is missing")
    # JSON and Parquet keys are often integers. A float is refused: 1e3 and 1000.0 would be two ids for one number.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _value(record: dict[str, Json], name: str) -> Json:
    """The field of that name, else the one inside others that `a.b` names; `_ABSENT` where there is none."""
    if name in record:
        return record[name]
    value: Json = record
    for part in name.split("."):
        value = value.get(part, _ABSENT) if isinstance(value, dict) else _ABSENT
    return value


def _document(record: dict[str, Json], fields: ReadOptions) -> Document:
    id = "generated" if fields.generate else _id(record, fields)
    text, title = _value(record, fields.text_name), record.get("title")
    if text is _ABSENT:
        raise BadDocumentError(f"document {shown(id)}: field {fields.text_name!r}, which holds the text, is missing")
    if fields.text is None and isinstance(text, str) and isinstance(title, str) and title:
        text = f"{title}\n{text}"
    document = make_document(id, text, _metadata(record, fields))
    # Of the metadata too: two rows of one text may be two documents, and only what is wholly the same is one.
    return replace(document, id=document_digest(document).hex()) if fields.generate else document


def _metadata(record: dict[str, Json], fields: ReadOptions) -> dict[str, Json]:
    named = set() if fields.generate else {fields.id_name(record)}
    own = named | {fields.text_name} | ({"op"} if fields.changes else set())
    metadata = {name: value for name, value in record.items() if name not in own}
    if isinstance(metadata.get("metadata"), dict):
        metadata |= metadata.pop("metadata")
    return metadata
