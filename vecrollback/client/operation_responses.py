"""Answers about operating a store, as records; see `vecrollback.client.responses`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vecrollback.client.responses import finding, record, switched
from vecrollback.records import (
    Acceptance,
    Acknowledgements,
    Approval,
    BlastRadius,
    CanaryRun,
    CanaryStatus,
    Drill,
    GateOutcome,
    GateVerdict,
    GoldenQuery,
    Incident,
    Json,
    Judgement,
    Observation,
    Phase,
    PostCheck,
    Timeline,
    UnembeddedDocument,
)

if TYPE_CHECKING:
    from vecrollback.switching.approvals import DecisionResult


def gate_verdict(body: Mapping[str, Json]) -> GateVerdict:
    return record(GateVerdict, body, outcomes=tuple(record(GateOutcome, one) for one in body["outcomes"]))


def canary_run(body: Mapping[str, Json]) -> CanaryRun:
    return record(CanaryRun, body, salt="")  # a server tells it to nobody: who knows it can choose a share


def canary_status(body: Mapping[str, Json]) -> CanaryStatus:
    observed = {name: record(Observation, one) for name, one in body["observed"].items()}
    judgements = tuple(record(Judgement, one) for one in body["judgements"])
    return record(CanaryStatus, body, canary=canary_run(body["canary"]), observed=observed, judgements=judgements)


def incident(body: Mapping[str, Json]) -> Incident:
    searchers, post_check = body["searchers"], body["post_check"]
    return record(
        Incident,
        body,
        timeline=record(Timeline, body["timeline"]),
        blast=record(BlastRadius, body["blast"]),
        searchers=record(Acknowledgements, searchers, missing=tuple(searchers["missing"])) if searchers else None,
        findings=tuple(finding(one) for one in body["findings"]),
        failed_findings=tuple(finding(one) for one in body["failed_findings"]),
        post_check=record(PostCheck, post_check) if post_check else None,
    )


def approval(body: Mapping[str, Json]) -> Approval:
    return record(Approval, body, decisions=tuple(body["decisions"]))


def decision(body: Mapping[str, Json]) -> DecisionResult:
    from vecrollback.switching.approvals import DecisionResult  # here: it brings the catalog along

    return DecisionResult(approval(body["approval"]), switched(body["switched"]) if body["switched"] else None)


def drill(body: Mapping[str, Json]) -> Drill:
    return record(Drill, body, phases=tuple(record(Phase, one) for one in body["phases"]))


def golden_query(body: Mapping[str, Json]) -> GoldenQuery:
    return record(GoldenQuery, body, tags=tuple(body["tags"]))


def unembedded(body: Mapping[str, Json]) -> list[UnembeddedDocument]:
    def read(one: Mapping[str, Json]) -> UnembeddedDocument:
        said = one["acceptance"]
        return record(UnembeddedDocument, one, acceptance=record(Acceptance, said) if said else None)

    return [read(one) for one in body["documents"]]
