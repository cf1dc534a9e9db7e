"""Watching `live` by a policy: measuring, deciding, and doing what was decided."""

from vecrollback.automation.guard.evaluation import Decision
from vecrollback.automation.guard.guard import Guard
from vecrollback.automation.guard.traffic import PooledTraffic, ProbedTraffic, Samples, SyntheticTraffic, Traffic
from vecrollback.automation.guard.watch import WatchRound, watch_store

__all__ = [
    "Decision",
    "Guard",
    "PooledTraffic",
    "ProbedTraffic",
    "Samples",
    "SyntheticTraffic",
    "Traffic",
    "WatchRound",
    "watch_store",
]
