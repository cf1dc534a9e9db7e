from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.http_server import V1, V2, build


@pytest.fixture(scope="session")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store", V1, V2)


@pytest.fixture
def store_path(two_pairs: Path, tmp_path: Path) -> Path:
    """A store of this test's own: sixty documents, v2 is live, v1 on standby."""
    return Path(shutil.copytree(two_pairs, tmp_path / "store"))
