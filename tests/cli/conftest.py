"""Stores and files that commands work on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import half_done
from vecrollback import connect


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    half_done(root / "store")
    return root / "store"


@pytest.fixture
def store(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the store of `half_done`, and where the command line looks for one."""
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


@pytest.fixture
def here(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder beside that store, where a command runs: files are named as a user would."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy of two metrics that can be measured at once."""
    path = tmp_path / "policy.toml"
    path.write_text("interval = '10ms'\nbake = '1ms'\n[[metric]]\nsource = 'standout'\n[[metric]]\nsource = 'lag'\n")
    return path


@pytest.fixture
def vectors_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """600 vectors in a folder: `pure.npy`, and `vectors.npy` with three of another model."""
    from tests.quality.test_doctor import OTHER, OWN, made_by, plain, texts_of

    texts = texts_of(600)
    vectors = made_by(OWN, texts)
    np.save(tmp_path / "pure.npy", vectors)
    vectors[[3, 30, 300]] = made_by(OTHER, [texts[row] for row in (3, 30, 300)])
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain(texts)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECROLLBACK_STORE", str(tmp_path / "store"))
    return tmp_path
