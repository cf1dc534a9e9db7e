"""What users put in, and where the log of it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Span(NamedTuple):
    """A chunk of a text: characters `start` to `end`."""

    start: int
    end: int


Json = Any
"""A value that `json.dumps` takes."""


@dataclass(frozen=True, slots=True)
class Document:
    """What users put in. `metadata` is a JSON object; its scalar values can be filtered on."""

    id: str
    text: str
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CorpusState:
    """The head of the log: its last acknowledged seq, the Lance version that holds it, live documents."""

    head: int
    version: int
    documents: int


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A line of an ingested file that is not a valid document."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """What `ingest` did with a file. Everything up to `seq` is durable."""

    seq: int
    read: int
    changed: int
    unchanged: int
    deleted: int
    rejected: tuple[RejectedRow, ...]
