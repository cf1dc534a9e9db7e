"""Watching `live` by a policy: measuring, deciding, and doing what was decided."""

from vecrollback.automation.guard.guard import Guard
from vecrollback.automation.guard.traffic import Asking, Sample, Samples, Traffic
from vecrollback.automation.guard.watch import Watched, watch_store

__all__ = ["Asking", "Guard", "Sample", "Samples", "Traffic", "Watched", "watch_store"]
