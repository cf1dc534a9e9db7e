"""Watching `live` by a policy: measuring, deciding, and doing what was decided."""

from vecrollback.guarding.guard import Guard
from vecrollback.guarding.traffic import Asking, Sample, Samples, Traffic
from vecrollback.guarding.watching import Watched, watch_store

__all__ = ["Asking", "Guard", "Sample", "Samples", "Traffic", "Watched", "watch_store"]
