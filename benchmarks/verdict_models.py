"""Models for the benchmark of verdicts, as embedders of the user's own: `verdict_models:minilm` and its likes.

What a model made of a text is kept, in memory and in the folder named by VERDICT_VECTORS, so that thousands of
examinations embed each text once. The models are those of `purity_models`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import purity_models
from numpy.typing import NDArray

Floats = NDArray[np.float32]
FOLDER = "VERDICT_VECTORS"


class Remembered:
    """What one model made of the texts that it was asked for so far."""

    def __init__(self, name: str) -> None:
        self._model = purity_models.Model(name)
        self._file = Path(os.environ[FOLDER]) / f"{name}.npz"
        self._vectors: dict[str, Floats] = {}
        if self._file.exists():
            with np.load(self._file) as kept:
                self._vectors = dict(zip(kept["texts"].tolist(), kept["vectors"], strict=True))

    def __call__(self, texts: Sequence[str]) -> Floats:
        if new := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors |= dict(zip(new, self._model(new), strict=True))
            self._save()
        return np.array([self._vectors[text] for text in texts], np.float32)

    def _save(self) -> None:
        partial = self._file.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, texts=np.array(list(self._vectors)), vectors=np.array(list(self._vectors.values())))
        partial.replace(self._file)


_of = cache(Remembered)


def _named(name: str) -> Callable[[list[str]], Floats]:
    def embed(texts: list[str]) -> Floats:
        return _of(name)(texts)

    return embed


minilm, sre, l3, lora_strong = (_named(name) for name in ("minilm", "sre", "l3", "lora-strong"))
