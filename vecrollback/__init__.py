"""Makes changing the embedding model of a vector system safe to undo.

`connect` opens a store; everything else is a method of what it returns, or what such a method takes and gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vecrollback.errors import VecrollbackError
from vecrollback.records import (
    Approval,
    Bridge,
    CanaryRun,
    CanaryStatus,
    Cascade,
    CascadeTrial,
    CatchUp,
    CaughtUpBy,
    Certificate,
    CorpusPlan,
    CorpusRollback,
    Document,
    Drill,
    Effort,
    ErasureExport,
    ErasuresApplied,
    ExportResult,
    Finding,
    Forecast,
    Freeze,
    GateVerdict,
    GoldenQuery,
    HistoryProof,
    Hit,
    IfAbsent,
    Incident,
    IncidentNature,
    Ingested,
    JobRecord,
    Json,
    KeptModel,
    LivePair,
    ModelAnswer,
    Move,
    Pair,
    PairExport,
    PairVectors,
    Parity,
    Plan,
    Progress,
    ProgressCallback,
    PromotedBy,
    Reconciled,
    Report,
    RestorePlan,
    Result,
    RuntimeBatches,
    SearchMode,
    Setback,
    Situation,
    SituationLine,
    Snapshot,
    Switched,
    ThresholdTranslation,
    UnembeddedDocument,
    Weights,
    Where,
    WriteResult,
)

if TYPE_CHECKING:
    from vecrollback.client import AsyncClient, Client
    from vecrollback.corpus.ingest import IngestOptions
    from vecrollback.pairs.manifest import Manifest
    from vecrollback.quality.audit import AuditOptions
    from vecrollback.quality.check import Level
    from vecrollback.reembedding.adopt import AdoptOptions, AdoptResult
    from vecrollback.reembedding.jobs import Job
    from vecrollback.serving.questions import Queries
    from vecrollback.serving.searcher import Searcher
    from vecrollback.store.async_store import AsyncStore
    from vecrollback.store.automation.watch import Decision, WatchRound
    from vecrollback.store.store import PairLike, Store, connect
    from vecrollback.switching.approvals import DecisionResult
    from vecrollback.switching.policy import Policy

__all__ = [
    "AdoptOptions",
    "AdoptResult",
    "Approval",
    "AsyncClient",
    "AsyncStore",
    "AuditOptions",
    "Bridge",
    "CanaryRun",
    "CanaryStatus",
    "Cascade",
    "CascadeTrial",
    "CatchUp",
    "CaughtUpBy",
    "Certificate",
    "Client",
    "CorpusPlan",
    "CorpusRollback",
    "Decision",
    "DecisionResult",
    "Document",
    "Drill",
    "Effort",
    "ErasureExport",
    "ErasuresApplied",
    "ExportResult",
    "Finding",
    "Forecast",
    "Freeze",
    "GateVerdict",
    "GoldenQuery",
    "HistoryProof",
    "Hit",
    "IfAbsent",
    "Incident",
    "IncidentNature",
    "IngestOptions",
    "Ingested",
    "Job",
    "JobRecord",
    "Json",
    "KeptModel",
    "Level",
    "LivePair",
    "Manifest",
    "ModelAnswer",
    "Move",
    "Pair",
    "PairExport",
    "PairLike",
    "PairVectors",
    "Parity",
    "Plan",
    "Policy",
    "Progress",
    "ProgressCallback",
    "PromotedBy",
    "Queries",
    "Reconciled",
    "Report",
    "RestorePlan",
    "Result",
    "RuntimeBatches",
    "SearchMode",
    "Searcher",
    "Setback",
    "Situation",
    "SituationLine",
    "Snapshot",
    "Store",
    "Switched",
    "ThresholdTranslation",
    "UnembeddedDocument",
    "VecrollbackError",
    "WatchRound",
    "Weights",
    "Where",
    "WriteResult",
    "connect",
]

_LAZY = {
    "AdoptOptions": "vecrollback.reembedding.adopt",
    "AdoptResult": "vecrollback.reembedding.adopt",
    "AsyncClient": "vecrollback.client",
    "AsyncStore": "vecrollback.store.async_store",
    "AuditOptions": "vecrollback.quality.audit",
    "IngestOptions": "vecrollback.corpus.ingest",
    "Client": "vecrollback.client",
    "Decision": "vecrollback.store.automation.watch",
    "DecisionResult": "vecrollback.switching.approvals",
    "Job": "vecrollback.reembedding.jobs",
    "Level": "vecrollback.quality.check",
    "Manifest": "vecrollback.pairs.manifest",
    "PairLike": "vecrollback.store.store",
    "Policy": "vecrollback.switching.policy",
    "Queries": "vecrollback.serving.questions",
    "Searcher": "vecrollback.serving.searcher",
    "Store": "vecrollback.store.store",
    "WatchRound": "vecrollback.store.automation.watch",
    "connect": "vecrollback.store.store",
}


def __getattr__(name: str) -> Any:
    # `vecrollback --help` must not pay for NumPy and Arrow.
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
