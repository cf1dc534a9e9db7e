"""Embedders in the user's own code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vecrollback.embedders import open_embedder
from vecrollback.embedders.probes import embed_probes
from vecrollback.errors import EmbedderSpecError, EmbeddingError

MODULE = """
import numpy as np
from vecrollback.embedders import open_embedder

def embed(texts):
    return np.array([[len(t) + 1.0, 2.0] for t in texts])

def optional(texts=()):
    return None

def one_short(texts):
    return np.ones((len(texts) - 1, 2))

def flat(texts):
    return [1.0] * len(texts)

def nan_for_b(texts):
    return [[float("nan") if t == "b" else 1.0, 1.0] for t in texts]

def zero(texts):
    return np.zeros((len(texts), 3))

def broken(texts):
    raise RuntimeError("no model today")

class Model:
    def __call__(self, texts):
        return np.ones((len(texts), 3))

model = Model()
number = 3
stranger = open_embedder("hash:16")

class LangChainShaped:
    def embed_documents(self, texts):
        return [[float(len(t)), 1.0] for t in texts]

    def embed_query(self, text):
        return [1.0, float(len(text))]

class ChromaShaped:
    def __call__(self, input):
        return [np.array([len(t), 1.0]) for t in input]

    def embed_query(self, input):
        return [np.array([1.0, len(t)]) for t in input]

class BrokenQueries(LangChainShaped):
    def embed_query(self, text):
        return [[1.0, 2.0]]

langchain, chroma, broken_queries = LangChainShaped(), ChromaShaped(), BrokenQueries()

def make_langchain():
    return LangChainShaped()

class OwnWithWrongQueries:
    spec, contract, fingerprint, dimension, metric = "mine:own", {"kind": "mine"}, "f" * 32, 2, "dot"

    def embed_documents(self, texts):
        return np.ones((len(texts), 2), dtype=np.float32)

    def embed_queries(self, texts):
        return np.ones((len(texts), 2))

    def chunk(self, text):
        return [(0, len(text))]

own = OwnWithWrongQueries()

def factory():
    inner = open_embedder("hash:16?seed=9")
    inner._spec = type(inner._spec)("mine:factory", "callable", "mine:factory", inner._spec.arguments)
    return inner
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "mine.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("mine", None)
    yield path
    sys.modules.pop("mine", None)


def test_a_function_becomes_an_embedder() -> None:
    embedder = open_embedder("mine:embed?metric=l2&query_prompt=xx")
    assert embedder.dimension == 2
    np.testing.assert_array_equal(embedder.embed_documents(["abc"]), [[4, 2]])
    np.testing.assert_array_equal(embedder.embed_queries(["abc"]), [[6, 2]])


@pytest.mark.parametrize("name", ["langchain", "chroma", "LangChainShaped", "make_langchain"])
def test_an_object_of_langchains_or_chromas_shape_has_two_sides(name: str) -> None:
    embedder = open_embedder(f"mine:{name}?metric=l2&query_prompt=x")
    np.testing.assert_array_equal(embedder.embed_documents(["abc", "a"]), [[3, 1], [1, 1]])
    np.testing.assert_array_equal(embedder.embed_queries(["abc", "a"]), [[1, 4], [1, 2]])


def test_a_query_side_that_is_wrong_is_found_before_anything_is_searched() -> None:
    with pytest.raises(EmbeddingError, match=r"shape \(\d+, 1, 2\) for \d+ queries"):
        embed_probes(open_embedder("mine:broken_queries?metric=l2"))
    with pytest.raises(EmbeddingError, match="type float64"):
        embed_probes(open_embedder("mine:own"))


def test_langchains_own_embeddings_can_be_named(tmp_path: Path) -> None:
    pytest.importorskip("langchain_core", reason="pip install langchain-core")
    (tmp_path / "chain.py").write_text(
        "from langchain_core.embeddings import DeterministicFakeEmbedding\nmodel = DeterministicFakeEmbedding(size=8)\n"
    )
    embedder = open_embedder("chain:model")
    assert embed_probes(embedder).shape == (80, 8)
    assert not embedder.traits.remote


def test_an_object_that_can_be_called_becomes_one_too() -> None:
    assert open_embedder("mine:model").dimension == 3


def test_a_factory_gives_its_own_embedder() -> None:
    assert open_embedder("mine:factory").contract["seed"] == 9


def test_an_embedder_whose_spec_would_not_open_it_again_is_refused() -> None:
    with pytest.raises(EmbedderSpecError, match="hash:16") as caught:
        open_embedder("mine:stranger")
    assert "mine:stranger" in caught.value.hint


def test_a_changed_source_file_changes_the_fingerprint(mine: Path) -> None:
    before = open_embedder("mine:embed").fingerprint
    mine.write_text(MODULE + "\n# edited\n")
    assert open_embedder("mine:embed").fingerprint != before
    assert open_embedder("mine:flat").fingerprint != open_embedder("mine:embed").fingerprint


def test_the_contract_names_the_installed_distribution() -> None:
    assert str(open_embedder("numpy:atleast_2d").contract["distribution"]).startswith("numpy ")
    assert open_embedder("mine:embed").contract["distribution"] is None


def test_a_distribution_that_was_installed_meanwhile_is_named(mine: Path) -> None:
    assert open_embedder("mine:embed").contract["distribution"] is None
    installed = mine.parent / "mine-1.5.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.5\n")
    (installed / "RECORD").write_text("mine.py,,\n")
    assert open_embedder("mine:embed").contract["distribution"] == "mine 1.5"


@pytest.mark.parametrize("name", ["nothing", "number", "optional"])
def test_what_is_no_embedder_is_refused(name: str) -> None:
    with pytest.raises(EmbedderSpecError):
        open_embedder(f"mine:{name}")


def test_a_module_that_cannot_be_imported_is_refused_with_a_cure() -> None:
    with pytest.raises(EmbedderSpecError, match="no_such_module") as caught:
        open_embedder("no_such_module:embed")
    assert "PYTHONPATH" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one_short", "shape"),
        ("flat", "shape"),
        ("nan_for_b", "text 1 of 3.*NaN.*'b'"),
        ("zero", "text 0 of 3.*length zero"),
        ("broken", "no model today"),
    ],
)
def test_unusable_vectors_are_refused_naming_the_text(name: str, words: str) -> None:
    with pytest.raises(EmbeddingError, match=words):
        open_embedder(f"mine:{name}").embed_documents(["a", "b", "c"])


def test_one_string_instead_of_a_list_is_a_programming_error() -> None:
    with pytest.raises(TypeError):
        open_embedder("mine:embed").embed_documents("abc")
