"""From the log to the vectors table: the loop that builds a pair, catches it up and resumes after a crash."""

from vecrollback.reembedding.dispatch import Admission
from vecrollback.reembedding.refresher import Refresher
from vecrollback.reembedding.tasks import EmbedCounts, Pending

__all__ = ["Admission", "EmbedCounts", "Pending", "Refresher"]
