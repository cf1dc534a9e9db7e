"""Bodies of requests that operate a store beside its moves: canary, golden queries, drills, snapshots, incidents."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from vecrollback.records import CaughtUpBy
from vecrollback.server.schemas import PairName, Reason

NeededReason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]
TagName = Annotated[str, Field(min_length=1, max_length=200)]


class OperationBody(BaseModel):
    """Strict, or `true` would pass for a number and an unknown key, misspelt perhaps, for an intention."""

    model_config = ConfigDict(strict=True, extra="forbid")


class CanaryStartRequest(OperationBody):
    """Try a pair on a part of the traffic."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"pair": "v2", "reason": "the new model"}]})

    pair: PairName
    reason: Reason = ""
    override: bool = Field(False, description="Although its check does not pass; needs a reason.")


class CanaryAdvanceRequest(OperationBody):
    """Give the candidate the next share."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"expected_step": 1}, {"override": True, "reason": "a quiet night"}]}
    )

    reason: Reason = ""
    override: bool = Field(False, description="Before its time is over, or without the test's word; needs a reason.")
    expected_step: int | None = Field(None, ge=0, description="Refuse unless the canary is at this step.")


class ReasonRequest(OperationBody):
    """Why; it is kept."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "answers are off"}]})

    reason: NeededReason


class GoldenRequest(OperationBody):
    """A query whose right answers are known. The same words, or the same id, replace what was kept."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "how is espresso brewed", "expected": {"coffee": 2, "mate": 1}}]}
    )

    text: Annotated[str, Field(min_length=1, max_length=8_192)]
    expected: Annotated[dict[str, Annotated[int, Field(ge=0, le=1_000)]], Field(max_length=1_000)] = {}
    tags: Annotated[list[TagName], Field(max_length=50)] = []
    id: Annotated[str | None, Field(min_length=1, max_length=200)] = None


class DrillRequest(OperationBody):
    """Rehearse a rollback beside what serves."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"chaos": "searcher-hung"}]})

    chaos: Annotated[str, Field(max_length=64, description="What to break in a copy. Default: nothing.")] = ""
    wait: bool = Field(False, description="Answer when it is over; else with the job that does it.")


class WithdrawRequest(OperationBody):
    """Documents without a vector that were accepted, and no longer are."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"pair": "v1", "documents": ["d7"]}]})

    pair: PairName
    documents: Annotated[list[str], Field(min_length=1, max_length=10_000)]


class AcceptRequest(WithdrawRequest):
    """Documents that may stay without a vector."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"pair": "v1", "documents": ["d7"], "reason": "a table of digits"}]}
    )

    reason: NeededReason


class SnapshotRequest(OperationBody):
    """Take a snapshot of a pair as it is now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"pair": "v1"}, {}]})

    pair: Annotated[PairName | None, Field(description="Default: the live one.")] = None
    rebuild: bool = Field(False, description="Build a new index too.")


class TagRequest(OperationBody):
    """Name a snapshot; a tagged one is kept."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "before-migration", "ref": "v1@3"}]})

    name: TagName
    ref: Annotated[str, Field(min_length=1, max_length=200)]


class PairRequest(OperationBody):
    """A pair that something is to be done with."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"pair": "v1"}, {"pair": "v1", "wait": True}]})

    pair: PairName
    wait: bool = Field(False, description="Answer when it is done; else with the job that does it.")


class CatchUpRequest(PairRequest):
    """A pair that is to be brought up to date."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"pair": "v1"}, {"pair": "v1", "by": "bridge"}]})

    by: CaughtUpBy | None = Field(None, description="`bridge`: another pair's model embeds, its vectors are mapped.")


class CloseRequest(OperationBody):
    """Close an incident with what it was."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"cause": "prompts were missing"}, {"cause": "noise", "nature": "false_alarm"}]}
    )

    cause: NeededReason
    detected: Annotated[str | None, Field(max_length=64, description="When the first sign was seen, ISO 8601.")] = None
    nature: Literal["failure", "planned", "false_alarm"] | None = Field(
        None, description="Unless it is `failure`, no answer of the pair that was left counts as a bad one."
    )
