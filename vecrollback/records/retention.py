"""What a prune would take, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """What stays: the newest `snapshots` of every pair, and whatever was made, served or held less than
    `cool_down` seconds ago.

    Of records of work: the newest `jobs` that are done of each kind and pair, the newest `reports` of each pair, and
    the audit of the last `audit` seconds. The history, incidents and drills stay for good.
    """

    snapshots: int = 2
    cool_down: float = 72 * 3600.0
    jobs: int = 200
    reports: int = 100
    audit: float = 400 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class PrunableFile:
    """A file or folder that nothing names any more. `path`: relative to the store."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class TableUpkeep:
    """A table as it lies there, and what is to be done to it.

    Attributes:
        table: Its name: `documents`, or `vectors-PAIR`.
        files: How many files it has now.
        bytes: Their size.
        merges: Small files that would become one, or a few.
        versions: Versions that would go: no snapshot, catalog or reader needs them.
        obsolete_bytes: What those versions alone consist of.
    """

    table: str
    files: int
    bytes: int
    merges: int
    versions: int
    obsolete_bytes: int


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What is to go. `kept`: every snapshot that stays, and why; `unknown`: why some files could not be judged.

    `records`: how many rows of each kind go; `tables`: how large each table is, and what would be merged or cleaned.
    """

    keep: RetentionRules
    pairs: tuple[str, ...]
    snapshots: tuple[str, ...]
    files: tuple[PrunableFile, ...]
    kept: Mapping[str, str] = field(default_factory=dict)
    unknown: str = ""
    records: Mapping[str, int] = field(default_factory=dict)
    tables: tuple[TableUpkeep, ...] = ()

    @property
    def bytes(self) -> int:
        """Of the files that are to go."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What went. `spared`: what was to go and had come into use meanwhile, and by what. `tables`: as they are now."""

    pairs: tuple[str, ...]
    snapshots: tuple[str, ...]
    files: tuple[PrunableFile, ...]
    spared: Mapping[str, str]
    records: Mapping[str, int] = field(default_factory=dict)
    tables: tuple[TableUpkeep, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)
