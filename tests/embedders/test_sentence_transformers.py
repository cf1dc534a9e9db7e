"""What enters the fingerprint of a model directory, what is known without loading it, and what loading gives.

Covers embedders.common, embedders.hf_tokenizer, embedders.model_files.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vecrollback.embedders import Embedder, open_embedder
from vecrollback.embedders.model_files import read_facts, shaping_files
from vecrollback.errors import EmbedderSpecError, EmbeddingError

TEXTS = ["a river in the north", "short", "the long tale of a compiler " * 40]


@pytest.fixture(scope="module")
def path(minilm: str) -> Path:
    return Path(minilm)


@pytest.fixture(scope="module")
def plain(path: Path) -> Embedder:
    return open_embedder(str(path))


@pytest.fixture
def small(tmp_path: Path, path: Path) -> Path:
    """The model's configuration with a few bytes in place of its weights."""
    directory = tmp_path / "small"
    shutil.copytree(path, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    (directory / "model.safetensors").write_bytes(bytes(range(64)))
    return directory


def fingerprint(directory: Path, arguments: str = "") -> str:
    return open_embedder(f"{directory}{arguments}").fingerprint


@pytest.mark.parametrize(
    ("argument", "shapes"),
    [
        ("max_length=128", True),
        ("pooling=cls", True),
        ("truncate_dim=128", True),
        ("precision=bfloat16", True),
        ("normalize=false", True),
        ("metric=l2", True),
        ("query_prompt=query%3A+", True),
        ("document_prompt=d", True),
        ("chunk=tokens:64:0", True),
        ("device=cpu", False),
        ("batch_size=3", False),
        ("max_length=256", False),
        ("pooling=mean", False),
        ("truncate_dim=384", False),
        ("precision=float32", False),
        ("backend=torch", False),
        ("query_prompt=", False),
    ],
)
def test_fingerprint_changes_with_what_shapes_vectors_only(small: Path, argument: str, shapes: bool) -> None:
    assert (fingerprint(small, f"?{argument}") != fingerprint(small)) == shapes


def test_a_copied_directory_has_the_same_fingerprint(small: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(small, copy)
    assert fingerprint(copy) == fingerprint(small)
    assert str(tmp_path) not in json.dumps(dict(open_embedder(str(copy)).contract))


def test_one_flipped_bit_of_the_weights_changes_it(small: Path) -> None:
    before = fingerprint(small)
    weights = small / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[17] ^= 1
    weights.write_bytes(content)
    assert fingerprint(small) != before


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "1_Pooling/config.json", "modeling_custom.py"])
def test_configuration_tokenizer_and_code_count(small: Path, name: str) -> None:
    before = fingerprint(small)
    file = small / name
    file.write_text((file.read_text() if file.exists() else "") + "\n")
    assert fingerprint(small) != before


@pytest.mark.parametrize(
    "name", ["README.md", ".gitattributes", ".git/HEAD", "onnx/model.onnx", "openvino/model.bin", "data_config.json"]
)
def test_what_cannot_shape_vectors_does_not_count(small: Path, name: str) -> None:
    before = fingerprint(small)
    (small / name).parent.mkdir(exist_ok=True)
    (small / name).write_text("other")
    assert fingerprint(small) == before


def test_pickled_weights_beside_safetensors_do_not_count(small: Path) -> None:
    (small / "pytorch_model.bin").write_bytes(b"x")
    assert "pytorch_model.bin" not in {file.name for file in shaping_files(small)}
    (small / "model.safetensors").unlink()
    assert "pytorch_model.bin" in {file.name for file in shaping_files(small)}


def test_a_relative_path_opens_from_anywhere(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parent)
    assert open_embedder("small?batch_size=2").spec == f"{small}?batch_size=2"


def test_contract_dimension_and_chunks_need_no_torch(path: Path) -> None:
    code = (
        "import sys; from vecrollback.embedders import open_embedder\n"
        f"e = open_embedder({str(path)!r} + '?chunk=tokens:64:8&truncate_dim=100')\n"
        "e.fingerprint, e.chunk('some text'), e.count_tokens(['a'])\n"
        "print(e.dimension, [m for m in ('torch', 'transformers', 'sentence_transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "100 []"
    assert not done.stderr


def test_the_models_own_prompts_are_the_default(small: Path) -> None:
    file = small / "config_sentence_transformers.json"
    file.write_text(json.dumps({"prompts": {"query": "q: ", "passage": "p: "}, "default_prompt_name": None}))
    contract = open_embedder(str(small)).contract
    assert (contract["query_prompt"], contract["document_prompt"]) == ("q: ", "p: ")
    file.write_text(json.dumps({"prompts": {"all": "a: "}, "default_prompt_name": "all"}))
    assert open_embedder(str(small)).contract["document_prompt"] == "a: "
    assert open_embedder(f"{small}?document_prompt=").contract["document_prompt"] == ""


def test_the_dimension_follows_the_modules(small: Path) -> None:
    modules = json.loads((small / "modules.json").read_text())
    modules.insert(2, {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (small / "modules.json").write_text(json.dumps(modules))
    (small / "2_Dense").mkdir()
    (small / "2_Dense" / "config.json").write_text(json.dumps({"in_features": 384, "out_features": 77}))
    assert read_facts(small).dimension == 77
    pooling = {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}
    (small / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    modules.pop(2)
    (small / "modules.json").write_text(json.dumps(modules))
    assert read_facts(small).dimension == 768
    assert read_facts(small).pooling == "max+mean"


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("max_length=100000", "512 positions"),
        ("truncate_dim=1000", "384"),
        ("backend=onnx", "backend"),
        ("precision=int8", "precision"),
        ("pooling=middle", "pooling"),
        ("revision=main", "revision"),
        ("colour=red", "colour"),
    ],
)
def test_an_impossible_argument_is_refused(small: Path, argument: str, words: str) -> None:
    with pytest.raises(EmbedderSpecError, match=words) as caught:
        open_embedder(f"{small}?{argument}")
    assert caught.value.hint


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbedderSpecError, match=r"modules\.json"):
        open_embedder(str(tmp_path))


def test_damaged_weights_are_an_error_with_a_hint(small: Path) -> None:
    with pytest.raises(EmbeddingError, match="cannot be loaded") as caught:
        open_embedder(str(small)).embed_documents(["a"])
    assert caught.value.hint


def test_a_hub_out_of_reach_is_an_error_with_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EmbeddingError, match="org/model") as caught:
        open_embedder("org/model")
    assert "hf download org/model" in caught.value.hint


def test_vectors_are_the_librarys_own(path: Path, plain: Embedder) -> None:
    from sentence_transformers import SentenceTransformer

    raw = SentenceTransformer(str(path)).encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(plain.embed_documents(TEXTS), raw, atol=1e-6)


def test_prompts_go_before_the_text(path: Path, plain: Embedder) -> None:
    embedder = open_embedder(f"{path}?query_prompt=query%3A+&document_prompt=passage%3A+")
    queries = plain.embed_documents(["query: " + text for text in TEXTS])
    np.testing.assert_allclose(embedder.embed_queries(TEXTS), queries, atol=1e-5)
    documents = plain.embed_documents(["passage: " + text for text in TEXTS])
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), documents, atol=1e-5)


@pytest.mark.parametrize("argument", ["pooling=cls", "max_length=32", "document_prompt=x+"])
def test_a_shaping_argument_changes_the_vectors(path: Path, plain: Embedder, argument: str) -> None:
    vectors = open_embedder(f"{path}?{argument}").embed_documents(TEXTS)
    assert np.abs(vectors - plain.embed_documents(TEXTS)).max() > 1e-3


def test_truncated_vectors_are_the_first_coordinates_at_unit_length(path: Path, plain: Embedder) -> None:
    vectors = open_embedder(f"{path}?truncate_dim=100").embed_documents(TEXTS)
    cut = plain.embed_documents(TEXTS)[:, :100]
    np.testing.assert_allclose(vectors, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-5)


def test_only_the_beginning_of_a_huge_text_is_tokenised(plain: Embedder) -> None:
    text = "antidisestablishmentarianism 机器学习 and rivers, " * 20_000
    np.testing.assert_allclose(plain.embed_documents([text]), plain.embed_documents([text[:40_000]]), atol=1e-6)
    spaces = " " * 200_000 + "the end"
    np.testing.assert_allclose(plain.embed_documents([spaces]), plain.embed_documents(["the end"]), atol=1e-5)


def test_nothing_is_printed(path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    open_embedder(str(path)).embed_documents(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
