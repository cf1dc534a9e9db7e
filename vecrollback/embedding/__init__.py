"""From the log to the vectors table: the loop that builds a pair, catches it up and resumes after a crash."""

from vecrollback.embedding.dispatch import Gate
from vecrollback.embedding.loop import Refresher
from vecrollback.embedding.work import Pending, Tally

__all__ = ["Gate", "Pending", "Refresher", "Tally"]
