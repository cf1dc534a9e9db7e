"""How good the answers of pairs are: golden queries, the field's measures, two pairs compared over the same queries."""

from vecrollback.quality.evaluation.comparison import Quality
from vecrollback.quality.evaluation.golden_queries import Golden
from vecrollback.quality.evaluation.html_report import page
from vecrollback.quality.evaluation.judgements import read_queries

__all__ = ["Golden", "Quality", "page", "read_queries"]
