"""What users put in, and where the log of it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class Span(NamedTuple):
    """A chunk of a text: characters `start` to `end`."""

    start: int
    end: int


Json = Any
"""A value that `json.dumps` takes."""


IfAbsent = Literal["skip", "fail"]
"""What a write does with documents that exist when it is to write new ones only: leave them, or refuse them all."""


_AFTER_NAMESPACE = "\x1f"
"""No id and no name of a namespace holds it, so a key can be read one way only."""


def document_key(id_: str, namespace: str = "") -> str:
    """What names a document in the whole store; of one without a namespace its id."""
    return f"{namespace}{_AFTER_NAMESPACE}{id_}" if namespace else id_


def key_parts(key: str) -> tuple[str, str]:
    """Namespace and id that a key was made of."""
    namespace, _, id_ = key.rpartition(_AFTER_NAMESPACE)
    return namespace, id_


def shown_key(key: str) -> str:
    """A key as people read it: `NAMESPACE/ID`."""
    return key.replace(_AFTER_NAMESPACE, "/")


@dataclass(frozen=True, slots=True)
class Document:
    """What users put in. `metadata` is a JSON object, which can be filtered on.

    `namespace`: the part of the store that it is in; ids are unique in one. `embedded_text`: what the model gets in
    place of the text, where that is more (a title, metadata, a context before it); answers return the text.
    """

    id: str
    text: str
    metadata: Mapping[str, Json] = field(default_factory=dict)
    namespace: str = ""
    embedded_text: str | None = None

    @property
    def key(self) -> str:
        """What names it in the whole store."""
        return document_key(self.id, self.namespace)

    @property
    def text_for_model(self) -> str:
        """What its vectors are made from."""
        return self.text if self.embedded_text is None else self.embedded_text


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write changed, in documents, and where the log ends now. Everything up to `head` is durable.

    `written`: new or changed. `unchanged`: equal to what was stored, or left as they were because they existed, or not
    there to be deleted.
    """

    head: int
    written: int = 0
    unchanged: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class ErasureExport:
    """What was noted in a file of erasures. `missing`: documents it knows as deleted, and this store does not."""

    path: str
    written: int
    missing: int


@dataclass(frozen=True, slots=True)
class ErasuresApplied:
    """What a file of erasures did to a store, or would do.

    `deleted`: documents that were there, as people read their keys. `noted`: how many others are known as deleted now.
    `unreadable`: how many lines of the file cannot be read.
    """

    deleted: tuple[str, ...]
    noted: int
    unreadable: int
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class CorpusState:
    """The head of the log: its last acknowledged seq, the Lance version that holds it, live documents."""

    head: int
    version: int
    documents: int


@dataclass(frozen=True, slots=True)
class EarlierState:
    """What documents were before: the Lance version that holds it, and the seq from which on it is complete."""

    version: int
    floor: int


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A line of an ingested file that is not a valid document."""

    line: int
    reason: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What `ingest` did with its sources. Everything up to `seq` is durable.

    Attributes:
        seq: The number of the newest change.
        read: Rows, or files of a folder.
        changed, unchanged, deleted: What the rows did. A row that a later one of the same id overwrote before it was
            written has changed nothing.
        rejected: Rows that are not valid documents, the first 1,000.
        overwritten: Rows whose id came again later with other contents: the last one counts.
        repeated: Rows that came again as they were.
        gone: Documents that were deleted because no source has them any more, or would be in a dry run.
        gone_ids: Their ids, the first 1,000.
        left_out: What was not read, by what it is: suffixes of files, columns of vectors, hidden files, linked folders.
        not_mirrored: Why nothing was deleted although `mirror` was asked for; "" otherwise.
    """

    seq: int
    read: int
    changed: int
    unchanged: int
    deleted: int
    rejected: tuple[RejectedRow, ...]
    overwritten: int = 0
    repeated: int = 0
    gone: int = 0
    gone_ids: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    not_mirrored: str = ""
