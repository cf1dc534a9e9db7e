"""Finding the fastest backend that is provably the pair's own model, on this machine and on texts of this corpus."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.embedders.backends import NAMES, Backend, check_name
from vecrollback.embedders.probes import FLOOR, compare_probes, embed_probes
from vecrollback.errors import EmbedderChangedError, UsageError
from vecrollback.records import Json
from vecrollback.vectors import FloatArray

_log = logging.getLogger(__name__)

_BATCHES = (8, 16, 32)
_NEAREST = 1 - (1 - FLOOR) / 2
"""Worst cosine that a backend may have to the pair's own vectors: half of what the check allows, for the texts that
are not tried are many more than those that are."""

_WORTH = 1.05
"""A backend that is faster by less than this is not worth being another one."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One backend tried: texts per second, its worst cosine to the pair's own vectors, and why it was refused if so."""

    backend: Backend
    texts_per_second: float
    worst_cosine: float
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What will embed the bulk; None: the pair's own embedder as it is."""

    backend: Backend | None
    own_per_second: float
    trials: tuple[Trial, ...]
    seconds: float = 0.0
    processor_seconds: float = 0.0

    def facts(self) -> dict[str, Json]:
        """For the provenance of a pair; the seconds are those that choosing took."""
        return {
            "own_texts_per_second": self.own_per_second,
            "trials": [asdict(one) for one in self.trials],
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
        }


def choose(
    embedder: Embedder,
    setting: str,
    *,
    recorded: FloatArray,
    texts: Sequence[str],
    threads: Sequence[int | None],
    keep: bool = False,
) -> Choice:
    """Try the backend that `setting` names, or all of them with "auto", against the recorded probes and on `texts`.

    `keep`: leave the chosen one loaded, for this process will use it.

    Raises UsageError for a name of no backend or a model that has none, EmbedderChangedError when the one that was
    named gives other vectors; "auto" then goes on without.
    """
    if setting != "auto":
        check_name(setting)
    if not hasattr(embedder, "accelerated"):
        if setting == "auto":
            return Choice(None, 0.0, ())
        raise UsageError(f"{embedder.spec!r} runs in one way only", hint="--accelerate off")
    started, processor = time.monotonic(), time.process_time()
    passages = sorted({text for text in texts if text.strip()}, key=len)
    embedder.embed_documents(passages[:1])  # loads the model
    own, own_rate = _timed(embedder, passages)
    trials: list[Trial] = []
    for name in NAMES if setting == "auto" else (setting,):
        try:
            trials += _tried(embedder, name, recorded, passages, own, threads)
        except UsageError as error:  # a package that is absent, a model on another device
            if setting != "auto":
                raise
            trials.append(Trial(Backend(name, 0), 0.0, 0.0, error.message))
    best = max((one for one in trials if not one.refused), key=lambda one: one.texts_per_second, default=None)
    if setting != "auto" and best is None:
        raise EmbedderChangedError(
            f"backend {setting!r} does not give the pair's vectors: {trials[0].refused}", hint="--accelerate off"
        )
    chosen = best.backend if best and (setting != "auto" or best.texts_per_second > _WORTH * own_rate) else None
    _log.info("embedding with %s", chosen or "the pair's own embedder")
    if chosen and keep:
        embedder.accelerated(chosen).embed_documents(passages[:1])
    seconds, processor = time.monotonic() - started, time.process_time() - processor
    return Choice(chosen, own_rate, tuple(trials), seconds, processor)


def _tried(
    embedder: Any,
    name: str,
    recorded: FloatArray,
    passages: Sequence[str],
    own: FloatArray,
    threads: Sequence[int | None],
) -> Iterator[Trial]:
    """The backend at one batch size, proven first; then, if it is the model, at the others."""
    first = Backend(name, _BATCHES[0], threads[0])
    try:
        made = embedder.accelerated(first)
        worst = compare_probes(recorded, embed_probes(made), _NEAREST)
        made.close()
        if not worst.agrees:
            yield Trial(first, 0.0, worst.worst_cosine, f"cosine {worst.worst_cosine:.6f} on probe {worst.worst_index}")
            return
    except UsageError:
        raise
    except Exception as error:  # a converter may raise anything over a model that it does not know
        yield Trial(first, 0.0, 0.0, f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
        return
    for count in threads:
        for size in _BATCHES:
            backend = replace(first, batch_size=size, threads=count)
            made = embedder.accelerated(backend)
            made.embed_documents(passages[:1])
            vectors, rate = _timed(made, passages)
            made.close()
            near = float(min(np.einsum("ij,ij->i", vectors, own) / _lengths(vectors, own), default=1.0))
            refused = "" if near >= _NEAREST else f"cosine {near:.6f} on a text of the corpus"
            yield Trial(backend, rate, min(near, worst.worst_cosine), refused)


def _timed(embedder: Embedder, passages: Sequence[str]) -> tuple[FloatArray, float]:
    started = time.perf_counter()
    vectors = embedder.embed_documents(passages)
    return vectors, len(passages) / max(time.perf_counter() - started, 1e-9)


def _lengths(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), dtype=np.float32)
