"""A clock that a test turns, in place of the one that some modules read."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import pytest


class Clock:
    """Seconds that pass when a test says so, or when one of these modules sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        self.now = 1000.0
        for module in modules:
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
