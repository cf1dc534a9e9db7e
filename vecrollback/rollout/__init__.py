"""Trying a pair on real traffic: who is drawn, what is seen beside the queries, and when that is enough to tell."""

from vecrollback.rollout.drawing import drawn
from vecrollback.rollout.seeing import Seen
from vecrollback.rollout.sequential import difference_bounds, mean_bounds
from vecrollback.rollout.shadow import Shadow, Task

__all__ = ["Seen", "Shadow", "Task", "difference_bounds", "drawn", "mean_bounds"]
