"""The part of a store that automation needs: nothing that a person at the keyboard does not have, too.

`Store` has methods that start what is in this room, so this room may not know `Store`: it says here what it is handed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vecrollback.catalog.policy_state import PolicyState
from vecrollback.pairs.prune import Pruner
from vecrollback.pairs.resources import Resources
from vecrollback.quality.evaluation import Golden, Quality
from vecrollback.records import (
    CatchUp,
    CaughtUpBy,
    Document,
    Drill,
    Effort,
    ExportResult,
    JobRecord,
    Json,
    Move,
    Pair,
    ProgressCallback,
    Report,
    Result,
    Situation,
    Snapshot,
    Switched,
)
from vecrollback.reembedding.jobs import Job
from vecrollback.serving.searcher import Searcher
from vecrollback.switching.approvals import Approvals
from vecrollback.switching.freezes import Freezes
from vecrollback.switching.incidents.incidents import Incidents
from vecrollback.switching.notifications import Notifications


class OperatedStore(Protocol):
    """The part of `vecrollback.Store` that worker, watch, drills and runbook use. See there for what each does."""

    @property
    def actor(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def root(self) -> Path: ...
    @property
    def resources(self) -> Resources: ...
    @property
    def freezes(self) -> Freezes: ...
    @property
    def approvals(self) -> Approvals: ...
    @property
    def golden(self) -> Golden: ...
    @property
    def incidents(self) -> Incidents: ...
    @property
    def measurements(self) -> PolicyState: ...
    @property
    def notices(self) -> Notifications: ...
    @property
    def quality(self) -> Quality: ...
    @property
    def retention(self) -> Pruner: ...

    def status(self) -> dict[str, Json]: ...
    def situation(self) -> Situation: ...
    def history(self, *, alias: str | None = None, limit: int | None = None) -> list[Move]: ...
    def documents(self, *, limit: int | None = None) -> Iterable[Document]: ...
    def reembed(self, embedder: str, *, name: str | None = None) -> Job[Pair]: ...
    def promote(self, pair: str, *, reason: str = "", override: bool = False) -> Switched: ...
    def live(self) -> Pair: ...
    def pair(self, pair: str) -> Pair: ...
    def pairs(self) -> list[Pair]: ...
    def lag(self, pair: str) -> int: ...
    def jobs(self) -> list[JobRecord]: ...
    def report(self, pair: str) -> Report | None: ...
    def search(self, query: str) -> Result: ...
    def searcher(self, *, alias: str = "live") -> Searcher: ...
    def snapshots(self) -> list[Snapshot]: ...
    def export_snapshot(self, ref: str, path: Path) -> ExportResult: ...
    def import_snapshot(self, path: Path) -> Snapshot: ...
    def check(self, pair: str) -> Report: ...

    def repair(self, report: Report) -> Report: ...
    def catch_up(
        self,
        pair: str,
        *,
        by: CaughtUpBy | None = None,
        advance: bool = True,
        effort: Effort | None = None,
        progress: ProgressCallback | None = None,
    ) -> CatchUp: ...
    def rollback_target(self) -> Snapshot: ...
    def expect_rollback(self) -> None: ...
    def rollback(
        self,
        *,
        reason: str,
        catch_up: bool = True,
        progress: ProgressCallback | None = None,
        wait: float = 10.0,
        expected_epoch: int | None = None,
        actor: str | None = None,
        trigger: Mapping[str, Json] | None = None,
    ) -> Switched: ...
    def drill(self, *, actor: str | None = None) -> Drill: ...
    def drills(self, *, limit: int | None = None) -> list[Drill]: ...


@dataclass(frozen=True, slots=True)
class StoreOpener:
    """How a drill opens stores beside the one it is given.

    `connect`: as `vecrollback.connect`. `program`: the command line of a process that opens the store its environment
    names; what it is to do there follows, see `vecrollback.store.automation.drills.process`.
    """

    connect: Callable[..., AbstractContextManager[OperatedStore]]
    program: tuple[str, ...]
