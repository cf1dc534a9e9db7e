"""A function of the user's own is known by what it does: an edited source file alone is no other model.

Covers pairs.embedders.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from vecrollback import Document, connect
from vecrollback.embedders.hashing import HashingEmbedder
from vecrollback.errors import EmbedderChangedError
from vecrollback.store.store import Store

CODE = """
import hashlib

import numpy as np


def embed(texts):
    seeds = [hashlib.sha256(text.encode()).digest()[0:4] for text in texts]
    return np.stack([np.random.default_rng(list(seed)).standard_normal(24) for seed in seeds])
"""
SPEC = "counted_words:embed"


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write the module, as a process that starts now finds it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(code: str) -> None:
        (tmp_path / "counted_words.py").write_text(code)
        sys.modules.pop("counted_words", None)
        importlib.invalidate_caches()

    write(CODE)
    return write


@pytest.fixture
def root(tmp_path: Path, edit: Callable[[str], None]) -> Path:
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"boat number {n}") for n in range(20)])
        store.promote(store.reembed(SPEC, name="v1").wait())
    return tmp_path / "store"


def answered(store: Store, text: str) -> str:
    return store.search(text, k=1).hits[0].id


def test_a_comment_in_the_source_file_stops_nothing(
    root: Path, edit: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    edit(CODE + "\n# a comment\n")
    with connect(root) as store:
        assert answered(store, "boat number 3") == "d3"
        assert "gives every probe of pair v1 as before" in caplog.text
        store.upsert([Document("late", "a boat that came late")])
        assert store.catch_up("v1").embedded == 1
        assert answered(store, "a boat that came late") == "late"
        assert store.check("v1").verdict == "pass"
        assert store.ask_model("v1").verdict == "pass"


def test_once_it_is_noted_nothing_is_compared_any_more(
    root: Path, edit: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    edit(CODE + "\n# a comment\n")
    with connect(root) as store:
        store.equate("v1", SPEC)
        assert answered(store, "boat number 3") == "d3"
    assert "gives every probe" not in caplog.text


@pytest.mark.parametrize(
    "other", [(".digest()[0:4]", ".digest()[4:8]"), ("(24)", "(24) + 0.01")], ids=["all", "little"]
)
def test_code_that_gives_other_vectors_is_another_model(
    root: Path, edit: Callable[[str], None], other: tuple[str, str]
) -> None:
    edit(CODE.replace(*other))
    with connect(root) as store:
        with pytest.raises(EmbedderChangedError):
            store.search("boat number 3")
        store.upsert([Document("late", "a boat that came late")])
        with pytest.raises(EmbedderChangedError):
            store.catch_up("v1")


def test_a_model_that_a_job_goes_on_with_is_not_closed_and_never_loaded_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(HashingEmbedder, "close", lambda self: closed.append(self.spec))
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"boat number {n}") for n in range(20)])
        pair, embedders = store.pair(store.reembed("hash:16", name="v1").wait()), store.resources.embedders
        job = embedders.of(pair)
        embedders.let_go_unused()
        assert embedders._embedders, "a step that follows soon finds it"
        monkeypatch.setattr("vecrollback.pairs.embedders._REST_SECONDS", 0.0)
        embedders.let_go_unused()
        assert (embedders._embedders, closed) == ({}, [])
        assert len(job.embed_documents(["boats"])) == 1
        known = embedders.of(pair) is job
        assert known
        del job
        embedders.let_go_unused()
        assert (embedders._embedders, closed) == ({}, ["hash:16"])
        assert len(embedders.of(pair).embed_documents(["boats"])) == 1


def test_nobody_waits_for_a_model_that_is_being_loaded_to_let_go_of_another(root: Path) -> None:
    with connect(root) as store:
        embedders = store.resources.embedders
        embedders.of(store.pair("v1"))
        with embedders._lock:
            letting_go = threading.Thread(target=embedders.let_go_unused, daemon=True)
            letting_go.start()
            letting_go.join(20)
            assert not letting_go.is_alive()
