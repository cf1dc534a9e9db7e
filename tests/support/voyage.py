"""Embedders of a service that this package knows nothing of, which note who calls them: `voyage:32`, `oldvoyage:32`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vecrollback.embedders import Embedder, Traits, fingerprint_of, open_embedder
from vecrollback.embedders.spec import Spec
from vecrollback.records import Json, Span
from vecrollback.records.arrays import FloatArray

CALLS = "VOYAGE_CALLS"
FLOOR = 0.9987


class Undeclared:
    """As third parties wrote embedders before there were traits."""

    metric = "cosine"

    def __init__(self, spec: Spec) -> None:
        self.spec = spec.text
        self.model = open_embedder(f"hash:{spec.target}?seed=1")
        self.contract: dict[str, Json] = {"kind": spec.kind, "model": spec.target}
        self.fingerprint = fingerprint_of(self.contract)
        self.dimension = int(spec.target)

    def chunk(self, text: str) -> list[Span]:
        return self.model.chunk(text)

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        if len(texts):
            with Path(os.environ[CALLS]).open("ab", buffering=0) as log:
                log.write(f"{os.getpid()} {len(texts)}\n".encode())
        return np.array(self.model.embed_documents(texts))

    embed_queries = embed_documents

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(text) // 4 + 1 for text in texts)

    def close(self) -> None:
        self.model.close()


class Local(Undeclared):
    traits = Traits()


class Voyage(Undeclared):
    traits = Traits(remote=True, priced=True, price=0.06, tokens_estimated=True, probe_floor=FLOOR)


class OldVoyage(Undeclared):
    price = 0.06


def open_voyage(spec: Spec) -> Embedder:
    return Voyage(spec)


def open_old_voyage(spec: Spec) -> Embedder:
    return OldVoyage(spec)


def open_local(spec: Spec) -> Embedder:
    return Local(spec)


KINDS = {name: f"{__name__}:open_{name}" for name in ("voyage", "old_voyage", "local")}


def calls() -> list[tuple[int, int]]:
    """Process and number of texts of each call so far."""
    log = Path(os.environ[CALLS])
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(process), int(texts)) for process, texts in map(str.split, lines)]
