"""Embedders that misbehave over some texts, by name: `tests.support.models:touchy`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from vecrollback.embedders import open_embedder

LOG, DOWN, CURED, SECONDS = "MODELS_LOG", "MODELS_DOWN", "MODELS_CURED", "MODELS_SECONDS"
HOLD = "MODELS_HOLD"
PLAIN = "hash:32?seed=1"
_MODEL = open_embedder(PLAIN)
_WIDE = open_embedder("hash:128?seed=1")


def touchy(texts: list[str]) -> Any:
    """Embed; raise over any text with the word "poison", and over every text while the file MODELS_DOWN is there.

    With MODELS_CURED it has learnt to embed poison.
    """
    if (path := os.environ.get(DOWN)) and Path(path).exists():
        raise RuntimeError("the service is down")
    if CURED not in os.environ and any("poison" in text for text in texts):
        raise ValueError("this text breaks the model")
    return logged(texts)


def deadly(texts: list[str]) -> Any:
    """Embed; the process dies over any text with the word "lethal"."""
    if any("lethal" in text for text in texts):
        os.kill(os.getpid(), signal.SIGSEGV)
    return logged(texts)


def slow(texts: list[str]) -> Any:
    """Embed; takes MODELS_SECONDS for each document, and as long as there is a file MODELS_HOLD."""
    documents = [text for text in texts if text.startswith("note ")]
    while documents and Path(os.environ.get(HOLD) or "/nowhere").exists():
        time.sleep(0.02)
    time.sleep(float(os.environ.get(SECONDS, "0")) * len(documents))
    return logged(texts)


def skewed(texts: list[str]) -> Any:
    """A model that knows as much as another one, but answers badly: two coordinates outweigh all others."""
    vectors = _WIDE.embed_documents(texts)
    vectors[:, :2] *= 40
    return vectors


def deaf(texts: list[str]) -> Any:
    """A model that knows nothing of one language, all words of which end in qqq: it can't tell its texts apart."""
    vectors = _WIDE.embed_documents(texts)
    for row, text in enumerate(texts):
        if "qqq " in text:
            vectors[row, 4:] = 0
            vectors[row, 0] += 1
    return vectors


def seeing(texts: list[str]) -> Any:
    """Vectors (1, number of the first accelerator that the process may use), scaled to unit length by the product."""
    return [[1.0, float(os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0])] for _ in texts]


def logged(texts: list[str]) -> Any:
    if path := os.environ.get(LOG):
        with Path(path).open("ab", buffering=0) as log:
            log.write(f"{os.getpid()} {len([t for t in texts if t.startswith('note ')])}\n".encode())
    return _MODEL.embed_documents(texts)


SWAPS = "MODELS_SWAPS"
_OTHER = open_embedder("hash:32?seed=2")


def exchanged(texts: list[str]) -> Any:
    """Embed with weights that are exchanged under the name, for all processes at once: see `plan_swap`."""
    folder = Path(os.environ[SWAPS])
    with (folder / "calls").open("ab") as calls:  # appending is how processes count together
        calls.write(b".")
        calls.flush()
        number = calls.tell() - 1
    first, last = map(int, (folder / "plan").read_text().split())
    return (_OTHER if first <= number < last else _MODEL).embed_documents(texts)


def plan_swap(folder: Path, first: int = 0, last: int = 0) -> None:
    """From now on, the calls of `exchanged` from `first` on and before `last` meet the other weights."""
    (folder / "calls").write_bytes(b"")
    (folder / "plan.new").write_text(f"{first} {last}")
    (folder / "plan.new").replace(folder / "plan")
