"""What an embedder is to the rest of the product: a contract, a fingerprint of it, and vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from vecrollback.arrays import FloatArray
from vecrollback.records import Json, Metric, Span


class Embedder(Protocol):
    """A model with everything that shapes its vectors.

    Making one is cheap: it reads names and digests. The model itself is loaded by the first call that needs it.
    `contract` holds every argument that can change a vector (model, revision, weights digest, chunker, prompts,
    pooling, maximum length, normalisation, dimension, precision, backend); `fingerprint` is its digest. `spec` is the
    string it was opened from: where the model is, which is not part of what it is.
    """

    @property
    def spec(self) -> str: ...

    @property
    def contract(self) -> Mapping[str, Json]: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def metric(self) -> Metric: ...

    def chunk(self, text: str) -> list[Span]:
        """Split a document into the chunks that get one vector each. A blank text has none."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of chunks: shape (len(texts), dimension), finite, unit length when `metric` is "cosine"."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of queries, the same shape; differs from documents only by the prompt."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens the model reads for these chunks in all."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


def fingerprint_of(contract: Mapping[str, Json]) -> str:
    """32 hex digits that change when anything in the contract does."""
    canonical = json.dumps(contract, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
