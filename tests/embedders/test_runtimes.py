"""A faster runtime embeds the bulk only where the probes prove that it is the pair's own model.

Covers embedders.runtimes, reembedding.acceleration.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecrollback
from vecrollback import Document, Store
from vecrollback.embedders import Embedder, open_embedder, runtimes, sentence_transformers
from vecrollback.embedders.probes import PROBES, embed_probes
from vecrollback.embedders.runtimes import Runtime, selection
from vecrollback.embedders.runtimes.selection import choose
from vecrollback.errors import EmbedderChangedError, MissingDependencyError, UsageError
from vecrollback.records import Effort

TEXTS = [f"note {n} on boats. " * (1 + n % 9) for n in range(40)]
ELSEWHERE = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(package), reason=f"pip install 'vecrollback[{name}]'"))
    for name, package in (("onnx", "onnxruntime"), ("openvino", "openvino"))
]


@pytest.fixture(scope="module")
def own(tiny: Path) -> Embedder:
    return open_embedder(str(tiny))


@pytest.fixture(scope="module")
def recorded(own: Embedder) -> Any:
    return embed_probes(own)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with vecrollback.connect(tmp_path / "store", create=True) as opened:
        opened.upsert([Document(f"d{n}", text) for n, text in enumerate(TEXTS)])
        yield opened


def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runtime "torch-bf16" be a copy of the weights in eight bits."""
    real = runtimes.accelerate

    def accelerate(model: Any, runtime: Runtime, converted: dict[str, Any]) -> None:
        import torch

        if runtime.name != "torch-bf16":
            return real(model, runtime, converted)
        torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
        return None

    monkeypatch.setattr(sentence_transformers, "accelerate", accelerate)


@pytest.mark.parametrize("name", [*ELSEWHERE, "torch-onednn"])
@pytest.mark.parametrize("size", [1, 512, 65_536])
def test_another_runtime_gives_the_same_vectors(own: Any, name: str, size: int) -> None:
    made = own.accelerated(Runtime(name, size, 1))
    assert made.fingerprint == own.fingerprint
    cosines = np.einsum("ij,ij->i", made.embed_documents(TEXTS), own.embed_documents(TEXTS))
    assert cosines.min() > 1 - 1e-6
    assert made.count_tokens(TEXTS) == own.count_tokens(TEXTS)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_runtime_that_was_named_is_proven_and_measured(own: Embedder, recorded: Any, name: str) -> None:
    choice = choose(own, name, recorded=recorded, texts=TEXTS, threads=(1,))
    assert choice.runtime
    assert choice.runtime.name == name
    tried = {trial.runtime.batch_tokens for trial in choice.trials}
    assert tried >= {512, 1_024, 2_048} or tried >= {256, 512, 1_024}, "half and twice as much, or ever less"
    assert all(trial.worst_cosine > 0.99999 and trial.texts_per_second > 0 for trial in choice.trials)
    best = max(choice.trials, key=lambda trial: trial.texts_per_second)
    assert best.runtime == choice.runtime


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize:UserWarning")
def test_a_quantised_copy_is_refused_by_the_probes(
    own: Embedder, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse(monkeypatch)
    with pytest.raises(EmbedderChangedError, match="does not give the pair's vectors: cosine"):
        choose(own, "torch-bf16", recorded=recorded, texts=TEXTS, threads=(1,))
    choice = choose(own, "auto", recorded=recorded, texts=TEXTS, threads=(1,))
    [trial] = [one for one in choice.trials if one.runtime.name == "torch-bf16"]
    assert "cosine" in trial.refused
    assert choice.runtime is None or choice.runtime.name != "torch-bf16"


def test_auto_takes_the_fastest_that_agrees_and_nothing_slower_than_the_own(
    own: Embedder, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"torch": 1.0, "onnx": 3.0, "openvino": 2.0}
    monkeypatch.setattr(selection, "NAMES", ("torch", "onnx", "openvino"))

    def timed(embedder: Any, chunks: list[str]) -> Any:
        name = embedder._runtime.name if embedder._runtime else "own"
        return embedder.embed_documents(chunks), rates.get(name, 1.5)

    monkeypatch.setattr(selection, "_pace", timed)
    choice = choose(own, "auto", recorded=recorded, texts=TEXTS, threads=(1,))
    assert choice.runtime
    assert choice.runtime.name == "onnx"
    rates |= {"onnx": 1.5, "openvino": 1.55}
    assert choose(own, "auto", recorded=recorded, texts=TEXTS, threads=(1,)).runtime is None


@pytest.mark.parametrize("name", ["int8", "onnx-int8", "openvino-int8", "quantized"])
def test_int8_is_another_model(store: Store, tiny: Path, name: str) -> None:
    with pytest.raises(UsageError, match="another model"):
        store.reembed(str(tiny), name="one", effort=Effort(accelerate=name)).wait()


def test_what_is_not_a_runtime_is_refused(store: Store, tiny: Path, own: Any) -> None:
    with pytest.raises(UsageError, match="not a valid runtime"):
        choose(own, "tpu", recorded=np.zeros((80, 48)), texts=TEXTS, threads=(1,))
    with pytest.raises(UsageError, match="one way only"):
        store.reembed("hash:32", effort=Effort(accelerate="onnx")).wait()
    half = open_embedder(f"{tiny}?precision=bfloat16")
    with pytest.raises(UsageError, match="float32"):
        half.accelerated(Runtime("onnx", 512))  # type: ignore[attr-defined]


def test_an_absent_package_is_named_with_its_cure_and_auto_goes_on(
    own: Any, recorded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    fresh = open_embedder(own.spec)
    with pytest.raises(MissingDependencyError) as refused:
        choose(fresh, "openvino", recorded=recorded, texts=TEXTS, threads=(1,))
    assert refused.value.hint == "pip install 'vecrollback[openvino]'"
    choice = choose(fresh, "auto", recorded=recorded, texts=TEXTS, threads=(1,))
    assert {one.refused for one in choice.trials if one.runtime.name == "openvino"} == {"openvino is not installed"}


@pytest.mark.parametrize("engine", ["inline", pytest.param("local:1", marks=pytest.mark.slow)])
def test_an_accelerated_pair_is_the_pair_and_says_what_made_it(store: Store, tiny: Path, engine: str) -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'vecrollback[onnx]'")
    plain = store.reembed(str(tiny), name="plain", index="Flat").wait()
    store.upsert([Document(f"d{n}", f"another text, number {n}") for n in range(40)])
    pair = store.reembed(f"{tiny}?chunk=tokens:64:0", name="fast", effort=Effort(engine, "onnx")).wait()
    [made] = store.runtime_batches("fast")
    assert (made.runtime, made.first) == ("onnx", 2)
    assert made.last == pair.vectors_version
    assert made.body["trials"]
    assert made.body["own_texts_per_second"] > 0
    assert not store.runtime_batches(plain.name)
    report = store.check("fast")
    assert report.verdict == "pass"
    assert report.examined["re-embedded of onnx"] == 30


def test_a_converter_sends_nothing_to_its_makers() -> None:
    pytest.importorskip("openvino", reason="pip install 'vecrollback[openvino]'")
    code = (
        "from vecrollback.embedders.runtimes import openvino\n"
        "openvino._library()\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"


def test_auto_is_not_worth_it_for_few_documents(store: Store, tiny: Path) -> None:
    store.reembed(str(tiny), name="one", effort=Effort(accelerate="auto")).wait()
    assert not store.runtime_batches("one")


def break_runtime(monkeypatch: pytest.MonkeyPatch, *, spare_probes: bool) -> None:
    """Once it was chosen, the runtime mixes up whose vector is whose, also of the probes unless they are spared."""
    real = sentence_transformers.SentenceTransformersEmbedder._vectors
    broken: list[bool] = []

    def vectors(self: Any, texts: list[str], role: Any) -> Any:
        made = real(self, texts, role)
        if self._runtime is not None and broken:
            mixed = [n for n, text in enumerate(texts) if not (spare_probes and text in PROBES)]
            made[mixed] = made[mixed[::-1]]
        return made

    monkeypatch.setattr(sentence_transformers.SentenceTransformersEmbedder, "_vectors", vectors)
    monkeypatch.setattr("vecrollback.reembedding.builder.open_engine", _then(broken))


def test_a_runtime_that_goes_wrong_after_it_was_chosen_writes_nothing(
    store: Store, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_runtime(monkeypatch, spare_probes=False)
    with pytest.raises(EmbedderChangedError):
        store.reembed(str(tiny), name="one", effort=Effort(accelerate="torch")).wait()
    pair = store.pair("one")
    assert store.resources.vectors_of(pair).rows(pair.vectors_version) == 0


def test_what_a_runtime_does_wrong_to_documents_alone_is_found_by_the_check(
    store: Store, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_runtime(monkeypatch, spare_probes=True)
    store.reembed(str(tiny), name="one", effort=Effort(accelerate="torch")).wait()
    report = store.check("one", sample=1)
    assert report.verdict == "fail"
    assert any("runtime torch" in finding.message for finding in report.findings)


def _then(broken: list[bool]) -> Any:
    from vecrollback.reembedding.engines import open_engine

    def opened(*arguments: Any) -> Any:
        engine = open_engine(*arguments)
        broken.append(True)
        return engine

    return opened
