"""Purity: which vectors the own embedder did not make, and what may be said about those nobody looked at."""

from __future__ import annotations

from vecrollback.quality.purity.audit import audit
from vecrollback.quality.purity.certificate import certify, parse_budget, sample_size
from vecrollback.quality.purity.contracts import RecordedModel, recorded_model, recorded_models
from vecrollback.quality.purity.examiner import Embed
from vecrollback.quality.purity.harm import Harm, JudgedQueries, Ndcg, embed_judged, golden_harm, harm
from vecrollback.quality.purity.population import Arrays, Population
from vecrollback.quality.purity.results import AuditProgress, AuditRequest, AuditResult, NotExamined, Share

__all__ = [
    "Arrays",
    "AuditProgress",
    "AuditRequest",
    "AuditResult",
    "Embed",
    "Harm",
    "JudgedQueries",
    "Ndcg",
    "NotExamined",
    "Population",
    "RecordedModel",
    "Share",
    "audit",
    "certify",
    "embed_judged",
    "golden_harm",
    "harm",
    "parse_budget",
    "recorded_model",
    "recorded_models",
    "sample_size",
]
