"""Purity: which vectors the own embedder did not make, and what may be said about those nobody looked at."""

from __future__ import annotations

from vecrollback.purity.audit import audit
from vecrollback.purity.budget import parse_budget
from vecrollback.purity.certificate import certify, sample_size
from vecrollback.purity.contracts import Recorded, recorded_model, recorded_models
from vecrollback.purity.examining import Embed
from vecrollback.purity.harm import Harm, Judged, Ndcg, golden_harm, harm, judged
from vecrollback.purity.outcome import Asked, Audited, AuditProgress, NotExamined, Share
from vecrollback.purity.population import Arrays, FloatArray, Numbers, Population, Times

__all__ = [
    "Arrays",
    "Asked",
    "AuditProgress",
    "Audited",
    "Embed",
    "FloatArray",
    "Harm",
    "Judged",
    "Ndcg",
    "NotExamined",
    "Numbers",
    "Population",
    "Recorded",
    "Share",
    "Times",
    "audit",
    "certify",
    "golden_harm",
    "harm",
    "judged",
    "parse_budget",
    "recorded_model",
    "recorded_models",
    "sample_size",
]
