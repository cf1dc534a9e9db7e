"""What a prune would take, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """What stays: the newest `snapshots` of every pair, and whatever was made, served or held less than
    `cool_down` seconds ago.
    """

    snapshots: int = 2
    cool_down: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class PrunableFile:
    """A file or folder that nothing names any more. `path`: relative to the store."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What is to go. `kept`: every snapshot that stays, and why; `unknown`: why some files could not be judged."""

    keep: RetentionRules
    pairs: tuple[str, ...]
    snapshots: tuple[str, ...]
    files: tuple[PrunableFile, ...]
    kept: Mapping[str, str] = field(default_factory=dict)
    unknown: str = ""

    @property
    def bytes(self) -> int:
        """Of the files that are to go."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What went. `spared`: what was to go and had come into use meanwhile, and by what."""

    pairs: tuple[str, ...]
    snapshots: tuple[str, ...]
    files: tuple[PrunableFile, ...]
    spared: Mapping[str, str]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)
