"""Waiting for a state."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST, _MOST = 0.01, 0.25


def wait_for(what: str, reached: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until `reached()` is true. The longer it takes the more seldom it is asked: what it asks has work to do."""
    begun = time.monotonic()
    while not reached():
        waited = time.monotonic() - begun
        assert waited < seconds, f"waited {seconds} s for {what}"
        time.sleep(min(_MOST, _FIRST + waited / 20))
