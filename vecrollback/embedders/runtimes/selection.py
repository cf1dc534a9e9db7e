"""Finding the fastest runtime that is provably the pair's own model, on this machine and on texts of this corpus."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vecrollback.embedders import Embedder
from vecrollback.embedders.probes import FLOOR, compare_probes, embed_probes
from vecrollback.embedders.runtimes import NAMES, Runtime, check_name
from vecrollback.errors import EmbedderChangedError, UsageError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray, cosines

_log = logging.getLogger(__name__)

_TOKENS, _LEAST_TOKENS, _MOST_TOKENS = 1_024, 256, 65_536
"""Tokens of a batch that every runtime is tried with. The fastest is then tried with half and twice as many, and so on
for as long as that is faster: caches and cores differ from machine to machine."""

_SAMPLE_SECONDS, _FIRST_TEXTS = 1.5, 24
"""How long the pair's own embedder may take over the texts that everything is timed on; its pace is read from the
first of them."""

_NEAREST = 1 - (1 - FLOOR) / 2
"""Worst cosine that a runtime may have to the pair's own vectors: half of what the check allows, for the texts that
are not tried are many more than those that are."""

_WORTH = 1.05
"""A runtime that is faster by less than this is not worth being another one."""


@dataclass(frozen=True, slots=True)
class RuntimeTrial:
    """One runtime tried: texts per second, its worst cosine to the pair's own vectors, and why it was refused if so."""

    runtime: Runtime
    texts_per_second: float
    worst_cosine: float
    refused: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """What will embed the bulk; None: the pair's own embedder as it is."""

    runtime: Runtime | None
    own_per_second: float
    trials: tuple[RuntimeTrial, ...]
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
) -> RuntimeChoice:
    """Try the runtime that `setting` names, or all of them with "auto", against the recorded probes and on `texts`.

    `keep`: leave the chosen one loaded, for this process will use it.

    Raises UsageError for a name that is not a runtime or a model that has only one, EmbedderChangedError when the
    one that was named gives other vectors; "auto" then goes on without.
    """
    if setting != "auto":
        check_name(setting)
    if not hasattr(embedder, "accelerated"):
        if setting == "auto":
            return RuntimeChoice(None, 0.0, ())
        raise UsageError(f"{embedder.spec!r} runs in one way only", hint="--accelerate off")
    start, processor = time.monotonic(), time.process_time()
    trying = _RuntimeTrials(embedder, recorded, texts)
    trials: list[RuntimeTrial] = []
    for name in NAMES if setting == "auto" else (setting,):
        try:
            trials += trying.prove(name, threads)
        except UsageError as error:  # a package that is absent, a model on another device
            if setting != "auto":
                raise
            trials.append(RuntimeTrial(Runtime(name, 0), 0.0, 0.0, error.message))
    if best := _fastest(trials):
        trials += trying.tune(best)
    best = _fastest(trials)
    if setting != "auto" and best is None:
        raise EmbedderChangedError(
            f"runtime {setting!r} does not give the pair's vectors: {trials[0].refused}", hint="--accelerate off"
        )
    winner = best.runtime if best and (setting != "auto" or best.texts_per_second > _WORTH * trying.rate) else None
    _log.info("embedding with %s", winner or "the pair's own embedder")
    if winner and keep:
        trying.load(winner)
    seconds, processor = time.monotonic() - start, time.process_time() - processor
    return RuntimeChoice(winner, trying.rate, tuple(trials), seconds, processor)


def _fastest(trials: Sequence[RuntimeTrial]) -> RuntimeTrial | None:
    return max((one for one in trials if not one.refused), key=lambda one: one.texts_per_second, default=None)


class _RuntimeTrials:
    """The pair's own embedder over a sample of texts, and other runtimes over the same texts."""

    def __init__(self, embedder: Any, recorded: FloatArray, texts: Sequence[str]) -> None:
        self._embedder, self._probes = embedder, recorded
        chunks = list(dict.fromkeys(text for text in texts if text.strip()))
        embedder.embed_documents(chunks[:1])  # loads the model
        _, pace = _pace(embedder, chunks[:_FIRST_TEXTS])
        count = max(_FIRST_TEXTS, int(pace * _SAMPLE_SECONDS))
        self._chunks = sorted(chunks[:count], key=len)
        self._own, self.rate = _pace(embedder, self._chunks)

    def prove(self, name: str, threads: Sequence[int | None]) -> Iterator[RuntimeTrial]:
        """The runtime with each number of threads, if the recorded probes say that it is the model."""
        first = Runtime(name, _TOKENS, threads[0])
        try:
            worst = compare_probes(self._probes, embed_probes(self._embedder.accelerated(first)), _NEAREST)
        except UsageError:
            raise
        except Exception as error:  # a converter may raise anything over a model that it does not know
            yield RuntimeTrial(first, 0.0, 0.0, f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
            return
        if not worst.agrees:
            self._embedder.accelerated(first).close()
            yield RuntimeTrial(
                first, 0.0, worst.worst_cosine, f"cosine {worst.worst_cosine:.6f} on probe {worst.worst_index}"
            )
            return
        for count in threads:
            yield self.time_run(replace(first, threads=count), worst.worst_cosine)

    def tune(self, start: RuntimeTrial) -> Iterator[RuntimeTrial]:
        """The same runtime with other batches, towards whatever is faster."""
        best = start
        for factor in (0.5, 2.0):
            while _LEAST_TOKENS <= (tokens := int(best.runtime.batch_tokens * factor)) <= _MOST_TOKENS:
                trial = self.time_run(replace(best.runtime, batch_tokens=tokens), best.worst_cosine)
                yield trial
                if trial.refused or trial.texts_per_second <= best.texts_per_second:
                    break
                best = trial
            if best is not start:
                return

    def time_run(self, runtime: Runtime, worst: float) -> RuntimeTrial:
        """One way to run it; `worst`: its lowest cosine so far."""
        other = self._embedder.accelerated(runtime)
        # The first call loads and converts the model, which must not count as embedding.
        other.embed_documents(self._chunks[:1])
        vectors, rate = _pace(other, self._chunks)
        other.close()
        near = float(min(cosines(vectors, self._own), default=1.0))
        refused = "" if near >= _NEAREST else f"cosine {near:.6f} on a text of the corpus"
        return RuntimeTrial(runtime, rate, min(near, worst), refused)

    def load(self, runtime: Runtime) -> None:
        """Load it, for this process will use it."""
        self._embedder.accelerated(runtime).embed_documents(self._chunks[:1])


def _pace(embedder: Embedder, chunks: Sequence[str]) -> tuple[FloatArray, float]:
    start = time.perf_counter()
    vectors = embedder.embed_documents(chunks)
    return vectors, len(chunks) / max(time.perf_counter() - start, 1e-9)
