"""A store of one's own, copied from a module's `template`, which is costly to build."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from vecrollback import Store


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with vecrollback.connect(root) as opened:
        yield opened
