"""A switch that happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vecrollback.records.canary import Canary
from vecrollback.records.evaluation import GateOutcome
from vecrollback.records.jobs import CatchUp
from vecrollback.records.reports import Report


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """Searchers that follow the alias, and those that answered from the new epoch in time."""

    expected: int
    acknowledged: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Switched:
    """A promote, rollback or restore that happened.

    `switch_ms`: from the decision to the last searcher's acknowledgement. `lag`: changes the target had yet to take in
    at the switch; `caught_up` and `report` tell what was done about it, `trouble` what could not be done after the
    switch, which stands all the same. `gates`: what a promote had to pass, the way back first.
    `warning`: what whoever moved it should know.
    """

    alias: str
    source: str | None
    target: str
    epoch: int
    switch_ms: float
    searchers: Acknowledgements
    lag: int
    caught_up: CatchUp | None = None
    report: Report | None = None
    trouble: str = ""
    warning: str = ""
    gates: tuple[GateOutcome, ...] = ()


MoveKind = Literal["promote", "rollback", "restore", "advance", "set"]


@dataclass(frozen=True, slots=True)
class Pointer:
    """What one query needs to know, read in one statement: where `alias` points and how far everything is.

    `canary`: the pair that is tried beside it at this moment, if one is.
    """

    alias: str
    epoch: int
    pair: str
    snapshot: int
    watermark: int
    vectors_version: int
    head: int
    corpus_version: int
    canary: Canary | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One entry of the history: a pointer moved. `hash` covers the entry and `previous_hash`."""

    number: int
    alias: str
    epoch: int
    kind: MoveKind
    source: str | None
    target: str
    reason: str
    actor: str
    at: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class SearcherRecord:
    """A serving process: what it follows, the last epoch it applied, which pairs it holds open."""

    id: str
    alias: str
    host: str
    pid: int
    epoch: int
    warm: tuple[str, ...]
    heartbeat: float
