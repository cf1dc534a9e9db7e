"""Watching `live` by a policy: measuring, deciding, and doing what was decided."""

from vecrollback.store.automation.watch.evaluation import Decision
from vecrollback.store.automation.watch.store_watch import WatchRound, watch_store
from vecrollback.store.automation.watch.traffic import PooledTraffic, ProbedTraffic, Samples, SyntheticTraffic, Traffic
from vecrollback.store.automation.watch.watch import Watch

__all__ = [
    "Decision",
    "PooledTraffic",
    "ProbedTraffic",
    "Samples",
    "SyntheticTraffic",
    "Traffic",
    "Watch",
    "WatchRound",
    "watch_store",
]
