"""What a backup of a whole store holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackupContents:
    """What is in a backup.

    Attributes:
        store: Identity of the store that it was taken of.
        version: Of vecrollback, that made it.
        created_at: When.
        head: The last change of the log in it.
        documents: How many are live.
        pairs: Their names.
        live: The snapshot that served, `PAIR@N`; empty when none did.
        files: How many files of the store it holds.
        bytes: Their size.
    """

    store: str
    version: str
    created_at: str
    head: int
    documents: int
    pairs: tuple[str, ...]
    live: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A backup that was written: where, its size in bytes, its SHA-256, and what is in it."""

    path: str
    bytes: int
    sha256: str
    contents: BackupContents

    @property
    def documents(self) -> int:
        return self.contents.documents
