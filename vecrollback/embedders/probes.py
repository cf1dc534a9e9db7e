"""Fixed texts whose vectors are kept with a pair: whether a model is still the one that made the index.

A fingerprint covers what can be read; the probes cover what the model does, also behind a service. Worst cosines of
these texts, measured on MiniLM: the same weights in float32 at any batch size 0.9999999, in float16 0.999997; bfloat16
against itself at another batch size 0.99988 and against float32 0.99983; quantised to int8 0.9963 and below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vecrollback.embedders.base import FLOOR, LEAST_FLOOR, Embedder, traits_of
from vecrollback.embedders.common import excerpt
from vecrollback.embedders.pieces import embed_documents, embed_in_pieces
from vecrollback.embedders.probe_texts import PROBES, QUERIES
from vecrollback.errors import CorruptArtifactError, EmbedderChangedError, EmbeddingError, TextRefusedError
from vecrollback.records.arrays import Cosines, FloatArray
from vecrollback.records.arrays import cosines as row_cosines

__all__ = [
    "FLOOR",
    "LEAST_USABLE",
    "PROBES",
    "QUERIES",
    "ProbeComparison",
    "compare_probes",
    "embed_probes",
    "floor_for",
    "verify_probes",
]

_DOCUMENTS = len(PROBES)
LEAST_USABLE = 16
"""Probes, as documents, that a model has to give vectors for: fewer could not tell it from a relative."""

NOISE_MARGIN = 4.0
"""The noise of a few calls is not the most there will be."""

_FIRST = 8
"""Probes that are tried one by one when a model does not take all of them together."""

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


def embed_probes(embedder: Embedder, like: FloatArray | None = None) -> FloatArray:
    """Embed the probes: all of them as documents, then the first 16 as queries.

    A model may not take every text: a service refuses what is too long for it, a model of words has no vector for a
    text without words that it knows. Such a probe gets a row of zeros, and nothing is compared with it.

    Args:
        embedder: Any embedder.
        like: Recorded vectors: only the probes that are usable there are embedded.

    Returns:
        float32, shape (80, dimension); zero where the model takes no such text.

    Raises:
        EmbeddingError: The model gave no usable vectors, or for fewer than 16 of the probes as documents.

    Example:
        >>> from vecrollback.embedders import open_embedder
        >>> embed_probes(open_embedder("hash:32")).shape
        (80, 32)
    """
    wanted = range(_DOCUMENTS + QUERIES) if like is None else np.flatnonzero(like.any(axis=1)).tolist()
    rows: dict[int, FloatArray] = {}
    for embed, numbers in (
        (partial(embed_documents, embedder), [n for n in wanted if n < _DOCUMENTS]),
        (partial(embed_in_pieces, embedder.embed_queries), [n for n in wanted if n >= _DOCUMENTS]),
    ):
        # Before anything is recorded. What was recorded once is compared, whatever its type.
        rows |= _usable_rows(partial(_checked, embedder.spec, embed) if like is None else embed, numbers)
    usable = sum(n < _DOCUMENTS for n in rows)
    if usable < LEAST_USABLE and like is None:
        raise EmbeddingError(
            f"{embedder.spec} gives vectors for {usable} of {_DOCUMENTS} probe texts; "
            f"{LEAST_USABLE} are needed to know it again",
            hint="the probes are English words and sentences, code and rare signs: a model that takes so few of them "
            "cannot be told from another one",
        )
    vectors = np.zeros((_DOCUMENTS + QUERIES, embedder.dimension), dtype=np.float32)
    for n, row in rows.items():
        vectors[n] = row
    return vectors


def _checked(spec: str, embed: Callable[[Sequence[str]], FloatArray], texts: Sequence[str]) -> FloatArray:
    """What an embedder of anybody's gives, if it is an array of float32 with a row for each text."""
    vectors = embed(texts)
    facts = getattr(vectors, "shape", None), getattr(vectors, "dtype", None)
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or len(vectors) != len(texts) or facts[1] != np.float32:
        raise EmbeddingError(
            f"{spec} gave {len(texts)} texts a {type(vectors).__name__} of shape {facts[0]} and type {facts[1]}",
            hint="`embed_documents` and `embed_queries` return float32, shape (texts, dimension); "
            "`vecrollback.testing.EmbedderConformance` tests it",
        )
    return vectors


def _usable_rows(embed: Callable[[Sequence[str]], FloatArray], numbers: list[int]) -> dict[int, FloatArray]:
    """Vectors by number of those probes that a model takes: asked together, and in halves where that is refused."""
    refusals: list[TextRefusedError] = []
    if numbers and len(taken := _asked_together(embed, numbers)) == len(numbers):
        return taken
    # Texts of every length first: when none of them is taken, it is not about the texts. Then by length, so that those
    # which are too long for the model stand together.
    ordered = sorted(numbers, key=lambda n: len(_texts()[n]))
    first = ordered[:: max(1, len(ordered) // _FIRST)]
    taken = {n: row for one in first for n, row in _in_halves(embed, [one], refusals).items()}
    if refusals and not taken:
        raise refusals[-1]
    return taken | _in_halves(embed, [n for n in ordered if n not in first], refusals)


def _in_halves(
    embed: Callable[[Sequence[str]], FloatArray], part: list[int], refusals: list[TextRefusedError]
) -> dict[int, FloatArray]:
    """The same of a part. No closure that knows itself: such a cycle holds the model until garbage is collected."""
    if not part:
        return {}
    try:
        return dict(zip(part, embed([_texts()[n] for n in part]), strict=True))
    except TextRefusedError as error:
        refusals.append(error.with_traceback(None))
        middle = len(part) // 2
        halves = (part[:middle], part[middle:]) if middle else ()
        return {n: row for half in halves for n, row in _in_halves(embed, half, refusals).items()}


def _asked_together(embed: Callable[[Sequence[str]], FloatArray], numbers: list[int]) -> dict[int, FloatArray]:
    try:
        return dict(zip(numbers, embed([_texts()[n] for n in numbers]), strict=True))
    except TextRefusedError:
        return {}


def compare_probes(recorded: FloatArray, now: FloatArray, floor: float = FLOOR) -> ProbeComparison:
    """Compare recorded probe vectors with today's, row by row, by cosine.

    Args:
        recorded: float32, shape (80, dimension), as `embed_probes` gave them. Rows of zeros are left out.
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
    usable = np.asarray(recorded.any(axis=1))
    count = int(usable[:_DOCUMENTS].sum())
    if count < LEAST_USABLE:
        raise CorruptArtifactError(
            f"the recorded probes hold {count} usable vectors, fewer than {LEAST_USABLE}",
            hint="run check: the snapshot's probes are damaged",
        )
    if recorded.shape != now.shape:
        cause = f"another model, or another truncate_dim: {recorded.shape[1]} dimensions then, {now.shape[-1]} now"
        return ProbeComparison(0, 0.0, PROBES[0], 0.0, False, cause)
    cosines = np.where(usable, np.nan_to_num(row_cosines(recorded, now), nan=0.0), np.inf)
    worst = int(np.argmin(cosines))
    agrees = bool(cosines[worst] >= floor)
    return ProbeComparison(
        worst_index=worst,
        worst_cosine=float(cosines[worst]),
        worst_text=_texts()[worst],
        mean_cosine=float(cosines[usable].mean()),
        agrees=agrees,
        cause="" if agrees else _cause(cosines, floor),
    )


def floor_for(embedder: Embedder) -> float:
    """The least cosine, from 0 to 1, at which an embedder counts as unchanged: what its traits say.

    Lower in bfloat16, and behind a service, whose arithmetic nobody sees.
    """
    return traits_of(embedder).probe_floor


def measured_floor(embedder: Embedder) -> float:
    """`floor_for`, or less where two calls of a service for the same texts differ by more than that allows.

    Two calls with a few short texts: the noise of a service is its own, and no sign of another model.

    Args:
        embedder: Any embedder; only a remote one is asked.

    Returns:
        A cosine from 0.99 to 1.

    Raises:
        EmbeddingError: Its answers differ so much that it could not be told from another model.
    """
    floor = floor_for(embedder)
    if not traits_of(embedder).remote:
        return floor
    short = sorted(PROBES, key=len)[:LEAST_USABLE]
    try:
        cosines = row_cosines(*(embed_documents(embedder, short) for _ in range(2)))
    except TextRefusedError:
        return floor  # a model that does not take all of them is measured by those that it takes, as before
    noise = 1 - float(np.nan_to_num(cosines, nan=1.0).min())
    measured = min(floor, 1 - NOISE_MARGIN * noise)
    if measured < LEAST_FLOOR:
        raise EmbeddingError(
            f"{embedder.spec} gives one text vectors that differ by {noise:.4f} (1 - cosine) from call to call: it "
            "cannot be told from another model",
            hint="several replicas with different models, or one that is broken: ask the provider",
        )
    return measured


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
    compared = compare_probes(recorded, embed_probes(embedder, recorded), floor)
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


def _cause(cosines: Cosines, floor: float) -> str:
    """What usually makes such a pattern. The cosines are infinite where nothing is compared."""
    documents, queries = cosines[:_DOCUMENTS], cosines[_DOCUMENTS:]
    if (documents >= floor).all():
        return "another query_prompt: only the queries differ"
    if _only_long(documents, floor):
        return "another max_length: only texts longer than a limit differ, so they are truncated at another place"
    if cosines.min() >= _SLIGHT:
        return "another precision or a quantised copy of the weights: texts of every length differ a little"
    if (queries >= floor).all():
        return "another document_prompt: only the documents differ"
    if np.median(cosines[np.isfinite(cosines)]) >= _SLIGHT:
        return "a fine-tune, a quantised copy or another pooling: most texts differ a little, some much"
    return "other weights, another pooling or other prompts: texts of every length differ strongly"


def _only_long(documents: Cosines, floor: float) -> bool:
    """Whether the shortest quarter of the probes agrees, which only truncation leaves alone."""
    by_length = sorted(range(_DOCUMENTS), key=lambda i: len(PROBES[i]))
    return bool((documents[by_length[: _DOCUMENTS // 4]] >= floor).all())
