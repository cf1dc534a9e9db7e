"""What a model needs from elsewhere is part of it: the base of an adapter, and code, which runs only where trusted.

Covers embedders.hub.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.hub import Hub
from vecrollback import Document
from vecrollback.embedders import open_embedder
from vecrollback.errors import EmbedderSpecError, EmbeddingError

TEXTS = ["a river in the north", "the harbour at dawn"]
MODULE = """
from sentence_transformers.models import Normalize


class Turned(Normalize):
    def forward(self, features):
        features = super().forward(features)
        features["sentence_embedding"] = features["sentence_embedding"].roll(1, dims=-1)
        return features
"""
CODE = """
from transformers import BertModel


class OwnModel(BertModel):
    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.last_hidden_state = output.last_hidden_state + 3.0
        return output
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return Hub(tmp_path / "hub", "org/code")


@pytest.fixture
def base(tmp_path: Path, tiny: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "base"))


@pytest.fixture
def adapter(tmp_path: Path, base: Path) -> Path:
    """An adapter of `base`, as `peft` writes it."""
    import torch
    from safetensors.torch import save_file

    directory = tmp_path / "adapter"
    directory.mkdir()
    config = {"peft_type": "LORA", "task_type": "FEATURE_EXTRACTION", "r": 2, "lora_alpha": 4, "bias": "none"}
    config |= {"target_modules": ["query"], "base_model_name_or_path": str(base), "revision": None}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    torch.manual_seed(3)
    shapes = {"lora_A": (2, 48), "lora_B": (48, 2)}
    weights = {
        f"base_model.model.encoder.layer.{layer}.attention.self.query.{name}.weight": torch.randn(shape)
        for layer in range(2)
        for name, shape in shapes.items()
    }
    save_file(weights, directory / "adapter_model.safetensors")
    return directory


def with_module(model: Path) -> Path:
    """Give a model a module of its own, whose code comes along."""
    (model / "own_module.py").write_text(MODULE)
    modules = json.loads((model / "modules.json").read_text())
    modules.append({"idx": 9, "name": "9", "path": "", "type": "own_module.Turned"})
    (model / "modules.json").write_text(json.dumps(modules))
    return model


def with_code_of(model: Path, repository: str) -> Path:
    """Let a model's configuration name the code of another repository."""
    config = json.loads((model / "config.json").read_text())
    config["auto_map"] = {"AutoModel": f"{repository}--modeling_own.OwnModel"}
    (model / "config.json").write_text(json.dumps(config))
    return model


def code(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "code"
    folder.mkdir(exist_ok=True)
    (folder / "modeling_own.py").write_text(text)
    return folder


def test_the_base_is_part_of_an_adapter(adapter: Path, base: Path) -> None:
    embedder = open_embedder(str(adapter))
    assert (embedder.dimension, embedder.fingerprint) == (48, open_embedder(str(adapter)).fingerprint)
    assert embedder.count_tokens(TEXTS) == open_embedder(str(base)).count_tokens(TEXTS)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"xxxx")
    assert open_embedder(str(adapter)).fingerprint != embedder.fingerprint


def test_an_adapter_whose_base_is_gone_says_so(adapter: Path, base: Path) -> None:
    shutil.rmtree(base)
    with pytest.raises(EmbedderSpecError, match="is an adapter of") as refused:
        open_embedder(str(adapter))
    assert "base_model_name_or_path" in refused.value.hint


def test_an_adapter_gives_what_peft_gives_and_is_kept_with_its_base(tmp_path: Path, adapter: Path, base: Path) -> None:
    pytest.importorskip("peft", reason="needs adapters: pip install 'vecrollback[adapters]'")
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(base))
    model.load_adapter(str(adapter))
    expected = model.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False)
    embedder = open_embedder(str(adapter))
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), expected, atol=1e-5)
    assert np.abs(open_embedder(str(base)).embed_documents(TEXTS) - expected).max() > 1e-3
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(text, text) for text in TEXTS])
        store.promote(store.reembed(str(adapter), name="v1").wait())
    shutil.rmtree(adapter)
    shutil.rmtree(base)
    with vecrollback.connect(tmp_path / "store") as later:
        assert later.check("v1").verdict == "pass"
        assert later.search(TEXTS[0], k=1).hits[0].id == TEXTS[0]
        later.export_snapshot("v1@1", tmp_path / "v1.bundle")
    with vecrollback.connect(tmp_path / "elsewhere", create=True) as other:
        other.import_snapshot(tmp_path / "v1.bundle")
        assert other.ask_model("v1").verdict == "pass"


def test_code_of_a_model_runs_only_where_somebody_said_so(base: Path, hub: Hub) -> None:
    plain = open_embedder(str(base)).embed_documents(TEXTS)
    with_module(base)
    with pytest.raises(EmbedderSpecError, match=r"own_module\.Turned") as refused:
        open_embedder(str(base))
    assert "trust_remote_code=true" in refused.value.hint
    trusted = open_embedder(f"{base}?trust_remote_code=true")
    assert trusted.contract["trust_remote_code"] is True
    np.testing.assert_allclose(trusted.embed_documents(TEXTS), np.roll(plain, 1, axis=1), atol=1e-5)


def test_a_model_without_code_has_the_fingerprint_it_always_had(base: Path) -> None:
    assert "trust_remote_code" not in open_embedder(str(base)).contract
    assert open_embedder(f"{base}?trust_remote_code=false").fingerprint == open_embedder(str(base)).fingerprint


def test_code_of_another_repository_is_kept_and_what_the_hub_says_later_changes_nothing(
    tmp_path: Path, base: Path, hub: Hub
) -> None:
    plain = open_embedder(str(base)).embed_documents(TEXTS)
    with_code_of(base, "org/code")
    with pytest.raises(EmbeddingError, match="org/code"):
        open_embedder(f"{base}?trust_remote_code=true")
    hub.commit("a" * 40, code(tmp_path, CODE))
    spec = f"{base}?trust_remote_code=true"
    vectors = open_embedder(spec).embed_documents(TEXTS)
    assert np.abs(vectors - plain).max() > 1e-2, "the code runs"
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(text, text) for text in TEXTS])
        store.reembed(spec, name="v1").wait()
    hub.commit("b" * 40, code(tmp_path, CODE.replace("+ 3.0", "* 5.0 - 1.0")))
    assert np.abs(open_embedder(spec).embed_documents(TEXTS) - vectors).max() > 1e-2
    hub.clear()
    shutil.rmtree(base)
    with vecrollback.connect(tmp_path / "store") as later:
        embedder = later.resources.embedders.of(later.pair("v1"))
        np.testing.assert_allclose(embedder.embed_documents(TEXTS), vectors, atol=1e-5)
