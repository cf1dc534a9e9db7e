"""Frozen values that travel between the modules. No open tables, no models, no connections."""

from vecrollback.records.answers import Compared, Hit, Placed, Result
from vecrollback.records.documents import CorpusState, Document, Ingested, Rejected, Span
from vecrollback.records.json import Json
from vecrollback.records.pairs import Exported, Metric, Move, MoveKind, Pair, PairState, Pointer, Reader, Snapshot
from vecrollback.records.people import Audited, Role, Token
from vecrollback.records.proof import Certificate, Finding, Report, Verdict
from vecrollback.records.switches import Acknowledgements, Switched
from vecrollback.records.work import CatchUp, JobRecord, JobState, Progress, ProgressCallback

__all__ = [
    "Acknowledgements",
    "Audited",
    "CatchUp",
    "Certificate",
    "Compared",
    "CorpusState",
    "Document",
    "Exported",
    "Finding",
    "Hit",
    "Ingested",
    "JobRecord",
    "JobState",
    "Json",
    "Metric",
    "Move",
    "MoveKind",
    "Pair",
    "PairState",
    "Placed",
    "Pointer",
    "Progress",
    "ProgressCallback",
    "Reader",
    "Rejected",
    "Report",
    "Result",
    "Role",
    "Snapshot",
    "Span",
    "Switched",
    "Token",
    "Verdict",
]
