from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.http_server import V1, build


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store", V1)


@pytest.fixture
def store_path(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "store"))
