"""How good the answers of pairs are: golden queries, the field's measures, two pairs compared over the same queries."""

from vecrollback.quality.comparing import Quality
from vecrollback.quality.golden import Golden
from vecrollback.quality.judged import read_queries
from vecrollback.quality.page import page

__all__ = ["Golden", "Quality", "page", "read_queries"]
