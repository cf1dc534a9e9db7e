"""Fixed texts whose vectors are kept with a pair: whether a model is still the one that made the index.

A fingerprint covers what can be read; the probes cover what the model does, also behind a service. Worst cosines of
these texts, measured on MiniLM: the same weights in float32 at any batch size 0.9999999, in float16 0.999997; bfloat16
against itself at another batch size 0.99988 and against float32 0.99983; quantised to int8 0.9963 and below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vecrollback.arrays import Cosines, FloatArray, cosines
from vecrollback.embedders.base import FLOOR, Embedder, traits_of
from vecrollback.embedders.common import excerpt
from vecrollback.embedders.pieces import embed_documents, embed_in_pieces
from vecrollback.embedders.probe_texts import PROBES, QUERIES
from vecrollback.errors import CorruptArtifactError, EmbedderChangedError

__all__ = [
    "FLOOR",
    "PROBES",
    "QUERIES",
    "ProbeComparison",
    "compare_probes",
    "embed_probes",
    "floor_for",
    "verify_probes",
]

_DOCUMENTS = len(PROBES)
_SLIGHT = 0.99
"""Worst cosine above which the difference is one of number formats rather than of weights."""


@dataclass(frozen=True, slots=True)
class ProbeComparison:
    """How today's probe vectors compare with the recorded ones.

    `worst_index` counts rows: documents first, then queries. `cause` is what usually makes this pattern; empty when
    they agree.
    """

    worst_index: int
    worst_cosine: float
    worst_text: str
    mean_cosine: float
    agrees: bool
    cause: str = ""


def embed_probes(embedder: Embedder) -> FloatArray:
    """Embed the probes: all of them as documents, then the first 16 as queries.

    Returns:
        float32, shape (80, dimension).

    Raises:
        EmbeddingError: The model gave no usable vectors.

    Example:
        >>> from vecrollback.embedders import open_embedder
        >>> embed_probes(open_embedder("hash:32")).shape
        (80, 32)
    """
    documents = embed_documents(embedder, PROBES)
    queries = embed_in_pieces(embedder.embed_queries, PROBES[:QUERIES])
    return np.concatenate([documents, queries])


def compare_probes(recorded: FloatArray, now: FloatArray, floor: float = FLOOR) -> ProbeComparison:
    """Compare recorded probe vectors with today's, row by row, by cosine.

    Args:
        recorded: float32, shape (80, dimension), as `embed_probes` gave them.
        now: The same of today.
        floor: Least cosine at which two vectors count as one.

    Returns:
        The worst row, and what usually makes such a pattern. Another dimension is a cosine of 0.

    Raises:
        CorruptArtifactError: `recorded` is not a set of probe vectors.

    Example:
        >>> from vecrollback.embedders import open_embedder
        >>> one, other = (embed_probes(open_embedder(f"hash:32?seed={seed}")) for seed in (1, 2))
        >>> compare_probes(one, one).agrees, compare_probes(one, other).agrees
        (True, False)
    """
    if recorded.ndim != 2 or len(recorded) != _DOCUMENTS + QUERIES:
        raise CorruptArtifactError(
            f"the recorded probes have shape {recorded.shape}, not ({_DOCUMENTS + QUERIES}, dimension)",
            hint="run check: the snapshot's probes are damaged",
        )
    if recorded.shape != now.shape:
        cause = f"another model, or another truncate_dim: {recorded.shape[1]} dimensions then, {now.shape[-1]} now"
        return ProbeComparison(0, 0.0, PROBES[0], 0.0, False, cause)
    cosines = _cosines(recorded, now)
    worst = int(np.argmin(cosines))
    agrees = bool(cosines[worst] >= floor)
    return ProbeComparison(
        worst_index=worst,
        worst_cosine=float(cosines[worst]),
        worst_text=_texts()[worst],
        mean_cosine=float(cosines.mean()),
        agrees=agrees,
        cause="" if agrees else _cause(cosines, floor),
    )


def floor_for(embedder: Embedder) -> float:
    """The least cosine, from 0 to 1, at which an embedder counts as unchanged: what its traits say.

    Lower in bfloat16, and behind a service, whose arithmetic nobody sees.
    """
    return traits_of(embedder).probe_floor


def verify_probes(embedder: Embedder, recorded: FloatArray, floor: float = FLOOR) -> ProbeComparison:
    """Embed the probes now and compare them with the recorded vectors.

    Args:
        embedder: What is to be the one that made the vectors.
        recorded: float32, shape (80, dimension).
        floor: Least cosine at which two vectors count as one.

    Raises:
        EmbedderChangedError: A probe is below the floor; it says which, and what usually makes such a pattern.
        CorruptArtifactError: `recorded` is not a set of probe vectors.
    """
    compared = compare_probes(recorded, embed_probes(embedder), floor)
    if compared.agrees:
        return compared
    role = "document" if compared.worst_index < _DOCUMENTS else "query"
    cause = compared.cause
    if traits_of(embedder).remote:
        cause += "; behind a service: the provider changed the model under this name"
    raise EmbedderChangedError(
        f"{embedder.spec} no longer gives the recorded vectors: cosine {compared.worst_cosine:.6f} < {floor} "
        f"for probe {compared.worst_index} as a {role} ({excerpt(compared.worst_text)}), "
        f"mean {compared.mean_cosine:.6f}. Likely cause: {cause}",
        hint="open the embedder that made the pair, or build a new pair with this one: `vecrollback reembed`",
    )


def _texts() -> tuple[str, ...]:
    return PROBES + PROBES[:QUERIES]


def _cosines(recorded: FloatArray, now: FloatArray) -> Cosines:
    """Row by row; 0 where a vector has no direction, unless both have none."""
    both_empty = ~recorded.any(axis=1) & ~now.any(axis=1)
    return np.where(both_empty, 1.0, np.nan_to_num(cosines(recorded, now), nan=0.0))


def _cause(cosines: Cosines, floor: float) -> str:
    """What usually makes such a pattern."""
    documents, queries = cosines[:_DOCUMENTS], cosines[_DOCUMENTS:]
    if (documents >= floor).all():
        return "another query_prompt: only the queries differ"
    if _only_long(documents, floor):
        return "another max_length: only texts longer than a limit differ, so they are truncated at another place"
    if cosines.min() >= _SLIGHT:
        return "another precision or a quantised copy of the weights: texts of every length differ a little"
    if (queries >= floor).all():
        return "another document_prompt: only the documents differ"
    if np.median(cosines) >= _SLIGHT:
        return "a fine-tune, a quantised copy or another pooling: most texts differ a little, some much"
    return "other weights, another pooling or other prompts: texts of every length differ strongly"


def _only_long(documents: Cosines, floor: float) -> bool:
    """Whether the shortest quarter of the probes agrees, which only truncation leaves alone."""
    by_length = sorted(range(_DOCUMENTS), key=lambda i: len(PROBES[i]))
    return bool((documents[by_length[: _DOCUMENTS // 4]] >= floor).all())
