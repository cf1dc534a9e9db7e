"""From the log to the vectors table: the loop that builds a pair, catches it up and resumes after a crash."""

from vecrollback.reembedding.dispatch import Gate
from vecrollback.reembedding.refresher import Refresher
from vecrollback.reembedding.tasks import Pending, Tally

__all__ = ["Gate", "Pending", "Refresher", "Tally"]
