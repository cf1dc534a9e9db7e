"""The store that the laws are tried on, built once and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.two_pairs import build


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store")
