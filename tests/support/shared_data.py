"""Real collections for tests, next to the repository and not part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared(name: str) -> Path:
    """Find a shared file, or skip the test that asks for it."""
    if not _FOLDER.is_dir():
        pytest.skip("../shared is absent: a user has none")
    return _FOLDER / name
