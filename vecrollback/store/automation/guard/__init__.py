"""Watching `live` by a policy: measuring, deciding, and doing what was decided."""

from vecrollback.store.automation.guard.evaluation import Decision
from vecrollback.store.automation.guard.guard import Guard
from vecrollback.store.automation.guard.traffic import PooledTraffic, ProbedTraffic, Samples, SyntheticTraffic, Traffic
from vecrollback.store.automation.guard.watch import WatchRound, watch_store

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
