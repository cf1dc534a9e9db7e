"""Embedders for the suites, by name: `vecrollback.testing.models:touchy`. Two of them misbehave over some texts."""

from __future__ import annotations

import os
import signal

from vecrollback.embedders import open_embedder
from vecrollback.records.arrays import FloatArray

PLAIN = "hash:32?seed=1"
"""A model that never fails."""
TOUCHY = f"{__name__}:touchy"
DEADLY = f"{__name__}:deadly"

_MODEL = open_embedder(PLAIN)


def touchy(texts: list[str]) -> FloatArray:
    """Vectors of `PLAIN`, shape (n, 32); raises ValueError over any text with the word "poison"."""
    if any("poison" in text for text in texts):
        raise ValueError("this text breaks the model")
    return _MODEL.embed_documents(texts)


def deadly(texts: list[str]) -> FloatArray:
    """Vectors of `PLAIN`, shape (n, 32); the process dies over any text with the word "lethal"."""
    if any("lethal" in text for text in texts):
        os.kill(os.getpid(), signal.SIGSEGV)
    return _MODEL.embed_documents(texts)
