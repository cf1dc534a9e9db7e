"""What is kept of a rollback: when what happened, what was served meanwhile, and what proved it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vecrollback.records.documents import Json
from vecrollback.records.moves import Acknowledgements
from vecrollback.records.reports import Finding, Verdict

IncidentState = Literal["open", "closed"]
IncidentNature = Literal["failure", "planned", "false_alarm"]
"""What a move back was: away from a pair that answered badly, on purpose, or from one that turned out to be well."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Times as the catalog writes them; None for what has not happened, or what nobody noted.

    `began`: the bad pair became live. `detected`: the first sign of it. `acknowledged`: the last searcher followed.
    """

    began: str | None = None
    detected: str | None = None
    decided: str | None = None
    switched: str | None = None
    acknowledged: str | None = None
    caught_up: str | None = None
    verified: str | None = None


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """What the pair that was left had answered: queries counted by long-lived searchers, in these epochs.

    `canary_answers`: part of `answers`, given to callers while the pair was tried, before these epochs.
    """

    pair: str
    first_epoch: int
    last_epoch: int
    answers: int = 0
    searchers: int = 0
    since: str | None = None
    until: str | None = None
    canary_answers: int = 0


@dataclass(frozen=True, slots=True)
class PostCheck:
    """The recorded probe queries, asked again on the pair that serves now.

    `same`: queries whose first ten documents are those that the vectors of the recording find; `overlap`: the mean
    share they have in common. `latency_ms`: at the 99th percentile, now and when this pair served before. `quality`:
    mean nDCG@10 of the golden queries, after the move; `quality_before`, when this pair was last promoted;
    `quality_left`, of the pair that was left, when that was. None where it was not measured.
    """

    queries: int
    same: int
    overlap: float
    at: str
    latency_ms: float | None = None
    latency_before_ms: float | None = None
    quality: float | None = None
    quality_before: float | None = None
    quality_left: float | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """One rollback or restore and what is known about it.

    `trigger`: what a policy measured; empty when a person decided. `archived`: the tag that keeps the failed snapshot.
    `notes`: what people wrote when they closed it. `nature`: unless it is "failure", no answer counts as a bad one.
    """

    number: int
    state: IncidentState
    alias: str
    epoch: int
    kind: str
    source: str
    target: str
    reason: str
    actor: str
    timeline: Timeline
    blast: BlastRadius
    searchers: Acknowledgements | None = None
    switch_ms: float | None = None
    lag: int | None = None
    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    failed_findings: tuple[Finding, ...] = ()
    post_check: PostCheck | None = None
    trigger: Mapping[str, Json] = field(default_factory=dict)
    archived: str = ""
    trouble: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    nature: IncidentNature = "failure"
