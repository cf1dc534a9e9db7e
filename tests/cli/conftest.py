"""A store in which the main job is half done: v1 has served, v2 is live, and documents changed since."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.support import V1, V2, write_documents
from vecrollback import Document, connect


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    documents = write_documents(root / "documents.jsonl", 0, 40)
    with connect(root / "store", create=True, actor="tester") as store:
        store.ingest(documents)
        store.promote(store.reembed(V1, name="v1").wait(), reason="first")
        store.promote(store.reembed(V2, name="v2").wait(), reason="said to be better")
        store.upsert([Document("d1", "pears, not apples"), Document("new", "plums")])
        store.delete(["d2"])
    return root / "store"


@pytest.fixture
def store(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that store, and where the command line looks for one."""
    path = tmp_path / "store"
    shutil.copytree(template, path)
    monkeypatch.setenv("VECROLLBACK_STORE", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    return path


@pytest.fixture
def damaged(store: Path) -> Path:
    """The store after one bit of v1's index flipped."""
    with connect(store) as opened:
        [snapshot] = opened.snapshots("v1")
    artifacts = store / "artifacts"
    index = artifacts / json.loads((artifacts / snapshot.manifest).read_text())["index"]["artifact"]
    content = bytearray(index.read_bytes())
    content[-1] ^= 1
    index.write_bytes(content)
    return store
