"""Deletes noted in a file outside of the store, for the day on which an older copy of the store is put back.

A copy of the whole directory is sound and knows nothing of what was deleted after it. The file does: one line of JSON
for each delete, in their order. What it says last of a document counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vecrollback.errors import UsageError
from vecrollback.records import Json, document_key, key_parts
from vecrollback.storage.local import sync_directory

_FORMAT = 1
_HINT = "`vecrollback erasures export FILE` writes one"
_PRIVATE = 0o600
"""Ids can be names of people."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """A delete: the store that made it, the document's key, and the number of the change in that store's log."""

    store: str
    key: str
    change: int


class ErasureFile:
    """The file. Any number of processes may add to it; a line that was cut off by a crash is as good as never added."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def add(self, erasures: Iterable[Erasure]) -> None:
        """Note deletes at the end of the file, durably. Makes the file where there is none. Raises OSError."""
        lines = "".join(_line(erasure) for erasure in erasures)
        if not lines:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _PRIVATE)
        with os.fdopen(descriptor, "rb+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            # A crash may have cut the last line; what follows it must not become a part of it.
            cut = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            file.write((("\n" if cut else "") + lines).encode())
            os.fsync(file.fileno())
        if new:
            sync_directory(self.path.parent)

    def read(self) -> ErasureNotes:
        """What was noted. Raises UsageError for a file that is missing, is another one, or of a newer version."""
        try:
            lines = [
                line for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n") if line.strip()
            ]
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}", hint=_HINT) from error
        erasures = [erasure for line in lines if (erasure := _parsed(line, self.path)) is not None]
        if lines and not erasures:
            raise UsageError(f"{self.path} holds no erasures", hint=_HINT)
        return ErasureNotes(tuple(erasures), len(lines) - len(erasures))


@dataclass(frozen=True, slots=True)
class ErasureNotes:
    """What an erasure file holds: deletes in their order, and how many lines cannot be read."""

    erasures: tuple[Erasure, ...]
    unreadable: int

    @property
    def stores(self) -> set[str]:
        """The stores that noted something."""
        return {erasure.store for erasure in self.erasures}

    def newest(self, stores: Collection[str]) -> dict[str, Erasure]:
        """What is said last of each document that one of these stores deleted, by key."""
        return {erasure.key: erasure for erasure in self.erasures if erasure.store in stores}


def missing(noted: Mapping[str, Erasure], tombstones: Mapping[str, int]) -> list[str]:
    """Keys of documents that were deleted after the moment which this log is of, sorted."""
    return sorted(key for key, erasure in noted.items() if tombstones.get(key, -1) < erasure.change)


def _line(erasure: Erasure) -> str:
    namespace, id_ = key_parts(erasure.key)
    values: dict[str, Json] = {"erasure": _FORMAT, "store": erasure.store, "id": id_}
    if namespace:
        values["namespace"] = namespace
    return json.dumps({**values, "change": erasure.change}) + "\n"


def _parsed(line: str, path: Path) -> Erasure | None:
    try:
        values = json.loads(line)
        if values["erasure"] > _FORMAT:
            raise UsageError(
                f"{path} was written by a newer version", hint="use that version of vecrollback, or a newer one"
            )
        key = document_key(str(values["id"]), str(values.get("namespace", "")))
        return Erasure(str(values["store"]), key, int(values["change"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
