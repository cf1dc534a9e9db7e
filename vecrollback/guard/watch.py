"""After a collection was opened: the model's probes ride along, and rows are compared as they are written."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.embedders.common import excerpt
from vecrollback.embedders.probe_texts import PROBES, QUERIES
from vecrollback.embedders.riding_probes import PROOF_SECONDS
from vecrollback.embedders.stamp import Stamp
from vecrollback.errors import EmbedderChangedError, FingerprintMismatchError, RefusedError
from vecrollback.records.arrays import FloatArray, cosines

_RIDERS = 16
"""The shortest probes take turns, about ten tokens each."""

_CURE = "put the model back that the collection is stamped with; nothing of this call was written"


class ModelWatch:
    """Compares what a model gives with its stamp. Safe to use from many threads.

    Args:
        stamp: What the collection is stamped with.
        model: What the application embeds with.
        drift: Called with the error when they differ; it raises it, or warns.
    """

    def __init__(self, stamp: Stamp, model: Embedder, drift: Callable[[RefusedError], None]) -> None:
        self._stamp, self._model, self._drift = stamp, model, drift
        usable = [n for n in range(len(PROBES)) if stamp.probes[n].any()]
        self._turn = itertools.cycle(sorted(usable, key=lambda n: len(PROBES[n]))[:_RIDERS])
        queries = [n for n in range(QUERIES) if stamp.probes[len(PROBES) + n].any()]
        self._query_turn = itertools.cycle(sorted(queries, key=lambda n: len(PROBES[n]))) if queries else None
        self._due, self._lock = time.monotonic() + PROOF_SECONDS, threading.Lock()

    def embed(self, embed: Callable[[list[str]], Any], texts: list[str]) -> Any:
        """What `embed` gives for texts; a probe rides with them and is compared before anybody gets the rest."""
        with self._lock:
            rider = next(self._turn)
        vectors = embed([*texts, PROBES[rider]])
        self._judge(rider, "document", self._stamp.probes[rider], vectors[-1])
        return vectors[:-1]

    def ask(self) -> None:
        """Compare a probe query, when the last proof is some seconds old."""
        with self._lock:
            if self._query_turn is None or time.monotonic() < self._due:
                return
            number = next(self._query_turn)
            self._due = time.monotonic() + PROOF_SECONDS
        vector = self._model.embed_queries([PROBES[number]])[0]
        self._judge(number, "query", self._stamp.probes[len(PROBES) + number], vector)

    def examine(self, texts: Sequence[str | None], vectors: Sequence[Any]) -> None:
        """Embed one of the rows that are about to be written, and compare: the longest tells most."""
        known = [n for n, text in enumerate(texts) if text and text.strip() and vectors[n] is not None]
        if not known:
            return
        row = max(known, key=lambda n: len(texts[n] or ""))
        text = str(texts[row])
        near = _cosine(np.asarray(vectors[row], np.float32), self._model.embed_documents([text])[0])
        if near < self._stamp.floor:
            self._drift(
                FingerprintMismatchError(
                    f"a vector to be written is not what {self._model.spec} makes of its text: cosine {near:.4f} for "
                    f"{excerpt(text)}",
                    hint=_CURE,
                )
            )

    def _judge(self, number: int, role: str, recorded: FloatArray, vector: Any) -> None:
        near = _cosine(recorded, np.asarray(vector, np.float32))
        if near < self._stamp.floor:
            self._drift(
                EmbedderChangedError(
                    f"{self._model.spec} no longer gives the vectors of the stamp ({self._stamp.spec}): cosine "
                    f"{near:.4f} for probe {number} as a {role}",
                    hint=_CURE,
                )
            )


def _cosine(one: FloatArray, other: FloatArray) -> float:
    if one.shape != other.shape:
        return 0.0
    with np.errstate(all="ignore"):
        return float(np.nan_to_num(cosines(one[None], other[None]), nan=0.0)[0])
