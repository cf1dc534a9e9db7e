"""Taking the documents back to an earlier point of the log: what is planned, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vecrollback.records.jobs import CatchUp


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """What a rollback of the documents changes.

    Attributes:
        to: The change whose documents are wanted.
        head: The last change of the log when this was planned.
        changed: Ids of documents that get the text and metadata they had.
        returning: Ids of documents that an earlier rollback took out and that come back.
        withdrawn: Ids of documents that are new since and go out of every answer. They are not deleted for good: a
            later rollback to a point at which they were there brings them back.
        kept_new: Ids of documents that are new since and stay.
        erased: Ids of documents that were there, were deleted since, and stay deleted for good.
        seqs: The earlier changes whose texts come back.
        hashes: Content hashes of those texts.
        embed: Pair -> how many of those texts it has no vector of yet.
    """

    to: int
    head: int
    changed: tuple[str, ...]
    returning: tuple[str, ...]
    withdrawn: tuple[str, ...]
    kept_new: tuple[str, ...]
    erased: tuple[str, ...]
    seqs: tuple[int, ...] = field(default=(), repr=False)
    hashes: tuple[bytes, ...] = field(default=(), repr=False)
    embed: Mapping[str, int] = field(default_factory=dict)

    @property
    def changes(self) -> int:
        """How many new changes it writes into the log; 0 when the documents are what they were."""
        return len(self.changed) + len(self.returning) + len(self.withdrawn)


@dataclass(frozen=True, slots=True)
class CorpusRollback:
    """A rollback of the documents that was made.

    Attributes:
        plan: What it changed.
        head: The last change of the log afterwards.
        caught_up: What the catch-ups of the live and the standby pairs did after it.
        trouble: What went wrong after the documents were taken back; empty when nothing did.
    """

    plan: CorpusPlan
    head: int
    caught_up: tuple[CatchUp, ...] = ()
    trouble: str = ""
