from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_server import V1, V2, Server, build, serving


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("template") / "store", V1, V2)


@pytest.fixture(scope="module")
def store(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this module's own: v2 is live, v1 on standby."""
    return Path(shutil.copytree(template, tmp_path_factory.mktemp("module") / "store"))


@pytest.fixture
def own_store(template: Path, tmp_path: Path) -> Path:
    """A store of this test's own."""
    return Path(shutil.copytree(template, tmp_path / "store"))


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Server]:
    """A server without tokens, as on a developer's machine."""
    with serving(store) as running:
        yield running
