"""A switch that happened."""

from __future__ import annotations

from dataclasses import dataclass

from vecrollback.records.evaluation import GateOutcome
from vecrollback.records.jobs import CatchUp
from vecrollback.records.reports import Report


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """Readers that follow the alias, and those that answered from the new epoch in time."""

    expected: int
    acknowledged: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Switched:
    """A promote, rollback or restore that happened.

    `switch_ms`: from the decision to the last reader's acknowledgement. `lag`: changes the target had yet to take in
    at the switch; `caught_up` and `report` tell what was done about it, `trouble` what could not be done after the
    switch, which stands all the same. `gates`: what a promote had to pass, the way back first.
    `warning`: what whoever moved it should know.
    """

    alias: str
    source: str | None
    target: str
    epoch: int
    switch_ms: float
    readers: Acknowledgements
    lag: int
    caught_up: CatchUp | None = None
    report: Report | None = None
    trouble: str = ""
    warning: str = ""
    gates: tuple[GateOutcome, ...] = ()
