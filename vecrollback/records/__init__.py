"""Frozen values that travel between the modules. No open tables, no models, no connections."""

from vecrollback.records.access import Audited, Role, Token
from vecrollback.records.canary import Canary, Judgement, Observation, Rollout, RolloutStatus, Standing
from vecrollback.records.documents import CorpusState, Document, Ingested, Rejected, Span
from vecrollback.records.evaluation import (
    AnsweredQuery,
    Comparison,
    Difference,
    Gated,
    GateOutcome,
    GoldenQuery,
    Latency,
)
from vecrollback.records.incidents import Blast, Incident, IncidentState, PostCheck, Timeline
from vecrollback.records.jobs import (
    CatchUp,
    Effort,
    JobRecord,
    JobState,
    Made,
    Plan,
    Progress,
    ProgressCallback,
    Unembedded,
)
from vecrollback.records.moves import Acknowledgements, Move, MoveKind, Pointer, Reader, Switched
from vecrollback.records.operations import Approval, ApprovalState, Drill, Freeze, Notice, NoticeState, Phase
from vecrollback.records.pairs import Exported, Metric, Pair, PairState, Snapshot
from vecrollback.records.reports import Certificate, Finding, Report, Verdict
from vecrollback.records.results import Compared, Hit, Placed, Result
from vecrollback.records.retention import Keep, Prunable, Pruned, PrunePlan
from vecrollback.records.types import Json

__all__ = [
    "Acknowledgements",
    "AnsweredQuery",
    "Approval",
    "ApprovalState",
    "Audited",
    "Blast",
    "Canary",
    "CatchUp",
    "Certificate",
    "Compared",
    "Comparison",
    "CorpusState",
    "Difference",
    "Document",
    "Drill",
    "Effort",
    "Exported",
    "Finding",
    "Freeze",
    "GateOutcome",
    "Gated",
    "GoldenQuery",
    "Hit",
    "Incident",
    "IncidentState",
    "Ingested",
    "JobRecord",
    "JobState",
    "Json",
    "Judgement",
    "Keep",
    "Latency",
    "Made",
    "Metric",
    "Move",
    "MoveKind",
    "Notice",
    "NoticeState",
    "Observation",
    "Pair",
    "PairState",
    "Phase",
    "Placed",
    "Plan",
    "Pointer",
    "PostCheck",
    "Progress",
    "ProgressCallback",
    "Prunable",
    "PrunePlan",
    "Pruned",
    "Reader",
    "Rejected",
    "Report",
    "Result",
    "Role",
    "Rollout",
    "RolloutStatus",
    "Snapshot",
    "Span",
    "Standing",
    "Switched",
    "Timeline",
    "Token",
    "Unembedded",
    "Verdict",
]
