"""The store that the laws are tried on, built once and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from tests.laws.support import SPECS, TEXTS
from vecrollback import Document


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 documents; `two` served before `one`, which is live; nothing lags."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name in ("two", "one"):
            store.reembed(SPECS[name], name=name, index="Flat").wait()
            store.promote(name)
    return root
