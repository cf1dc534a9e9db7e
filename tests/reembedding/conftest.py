"""A small transformer for tests of what a real one would take long for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vecrollback.embedders import Embedder, open_embedder


@pytest.fixture
def tiny_model(tiny: Path) -> Callable[[str], Embedder]:
    """Opens it with arguments."""
    return lambda arguments: open_embedder(f"{tiny}{arguments}")
