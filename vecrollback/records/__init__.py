"""Frozen values that travel between the modules. No open tables, no models, no connections."""

from vecrollback.records.access import AuditEntry, Role, Token
from vecrollback.records.canary import Canary, CanaryRun, CanaryStatus, Judgement, Observation, Standing
from vecrollback.records.documents import CorpusState, Document, Ingested, RejectedRow, Span
from vecrollback.records.evaluation import (
    AnsweredQuery,
    Comparison,
    Difference,
    GateOutcome,
    GateVerdict,
    GoldenQuery,
    Latency,
)
from vecrollback.records.incidents import BlastRadius, Incident, IncidentState, PostCheck, Timeline
from vecrollback.records.jobs import (
    CatchUp,
    Effort,
    JobRecord,
    JobState,
    Plan,
    Progress,
    ProgressCallback,
    RuntimeBatches,
    UnembeddedDocument,
)
from vecrollback.records.moves import Acknowledgements, Move, MoveKind, Pointer, SearcherRecord, Switched
from vecrollback.records.operations import Approval, ApprovalState, Drill, Freeze, Notice, NoticeState, Phase
from vecrollback.records.pairs import ExportResult, Metric, Pair, PairState, Snapshot
from vecrollback.records.reports import Certificate, Finding, Report, Verdict
from vecrollback.records.results import AnswerComparison, DocumentRanks, Hit, Result
from vecrollback.records.retention import PrunableFile, PrunePlan, PruneResult, RetentionRules
from vecrollback.records.types import Json

__all__ = [
    "Acknowledgements",
    "AnswerComparison",
    "AnsweredQuery",
    "Approval",
    "ApprovalState",
    "AuditEntry",
    "BlastRadius",
    "Canary",
    "CanaryRun",
    "CanaryStatus",
    "CatchUp",
    "Certificate",
    "Comparison",
    "CorpusState",
    "Difference",
    "Document",
    "DocumentRanks",
    "Drill",
    "Effort",
    "ExportResult",
    "Finding",
    "Freeze",
    "GateOutcome",
    "GateVerdict",
    "GoldenQuery",
    "Hit",
    "Incident",
    "IncidentState",
    "Ingested",
    "JobRecord",
    "JobState",
    "Json",
    "Judgement",
    "Latency",
    "Metric",
    "Move",
    "MoveKind",
    "Notice",
    "NoticeState",
    "Observation",
    "Pair",
    "PairState",
    "Phase",
    "Plan",
    "Pointer",
    "PostCheck",
    "Progress",
    "ProgressCallback",
    "PrunableFile",
    "PrunePlan",
    "PruneResult",
    "RejectedRow",
    "Report",
    "Result",
    "RetentionRules",
    "Role",
    "RuntimeBatches",
    "SearcherRecord",
    "Snapshot",
    "Span",
    "Standing",
    "Switched",
    "Timeline",
    "Token",
    "UnembeddedDocument",
    "Verdict",
]
