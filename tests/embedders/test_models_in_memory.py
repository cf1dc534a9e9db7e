"""A process holds one copy of a model, however many stores and pairs use it."""

from __future__ import annotations

import gc
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from vecrollback import Document, connect
from vecrollback.embedders import open_embedder
from vecrollback.embedders.models_in_memory import SharedModel, shared_model

TEXTS = ["a river in the north", "ships leave at dawn"]


def _loaded() -> int:
    """How many models of sentence-transformers there are in this process."""
    from sentence_transformers import SentenceTransformer

    gc.collect()
    return sum(type(one) is SentenceTransformer for one in gc.get_objects())


@pytest.fixture
def copied(minilm: str, tmp_path: Path) -> str:
    """The same model in another folder, as a store keeps one."""
    return str(shutil.copytree(minilm, tmp_path / "copy"))


def test_embedders_of_the_same_weights_share_them(minilm: str, copied: str) -> None:
    before = _loaded()
    one, other = open_embedder(minilm), open_embedder(f"{copied}?query_prompt=query%3A+&chunk=tokens:64:0")
    np.testing.assert_array_equal(one.embed_documents(TEXTS), other.embed_documents(TEXTS))
    assert _loaded() == before + 1
    shorter = open_embedder(f"{minilm}?max_length=16")  # decided when it is loaded, so it is another one
    shorter.embed_documents(TEXTS)
    assert _loaded() == before + 2
    shorter.close()
    one.close()
    other.embed_documents(TEXTS)
    assert _loaded() == before + 1
    other.close()
    assert _loaded() == before


def test_threads_of_two_embedders_take_turns(minilm: str, copied: str) -> None:
    embedders = [open_embedder(minilm), open_embedder(copied)]
    expected = embedders[0].embed_documents(TEXTS)
    answers: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda one=one: answers.append(one.embed_documents(TEXTS)))
        for one in embedders
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    for vectors in answers:
        np.testing.assert_array_equal(vectors, expected)
    for one in embedders:
        one.close()


def test_files_that_were_exchanged_are_given_to_nobody_else(minilm: str, copied: str) -> None:
    before = _loaded()
    one, other = open_embedder(minilm), open_embedder(copied)
    assert one.fingerprint == other.fingerprint
    weights = Path(copied) / "model.safetensors"
    weights.write_bytes(weights.read_bytes())  # the same bytes: what counts is that somebody wrote
    one.embed_documents(TEXTS)
    other.embed_documents(TEXTS)
    assert _loaded() == before + 2
    one.close()
    other.close()


@pytest.mark.slow
def test_stores_and_pairs_share_one_model(minilm: str, tmp_path: Path) -> None:
    before = _loaded()
    with connect(tmp_path / "a", create=True) as a, connect(tmp_path / "b", create=True) as b:
        for store in (a, b):
            store.upsert([Document("tea", "Steep green tea.")])
            for name, prompt in (("v1", ""), ("v2", "?query_prompt=query%3A+")):
                store.promote(store.reembed(f"{minilm}{prompt}", name=name, keep_model=False).wait())
                assert store.search("green tea").pair == name
        assert _loaded() == before + 1


def test_nobody_keeps_a_model_that_is_not_used() -> None:
    class Model:
        pass

    first = shared_model("a key of this test")
    model: Model | None = Model()
    first.keep(model)
    assert shared_model("a key of this test") is first
    assert first.model is model
    del model
    gc.collect()
    assert first.model is None
    assert SharedModel().model is None
