"""Engines: workers that turn units of texts into vectors, and write nothing.

Only the job that drives them writes tables and catalog. So a worker may die, run twice or answer late at any moment:
a unit without an answer is sent again, and no row is lost, doubled or left behind.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vecrollback import errors
from vecrollback.embedders import Embedder, open_embedder
from vecrollback.embedders.pieces import embed_documents
from vecrollback.embedders.probes import FLOOR, PROBES
from vecrollback.embedders.riding_probes import spread
from vecrollback.embedders.runtimes import Runtime
from vecrollback.errors import EmbedderChangedError, EmbeddingError, StoppedError, UsageError, VecrollbackError
from vecrollback.records.arrays import FloatArray, cosines
from vecrollback.storage.spans import span

_COMPARED = 8


@dataclass(frozen=True, slots=True)
class EmbedderRecipe:
    """How a worker elsewhere opens the embedder of a job. `fingerprints`: those that count as the pair's.

    `runtime`: the runtime that gives the same vectors faster. `others`: strings to try where `spec` opens nothing.
    """

    spec: str
    fingerprints: frozenset[str]
    idle: bool = False
    runtime: Runtime | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """Texts of documents, to be split into chunks and embedded at once.

    `riders`: so many of the last texts are probes. They are spread over the others, one of them behind all.
    """

    number: int
    texts: tuple[str, ...]
    riders: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddedUnit:
    """A finished unit: for each text its number of chunks, then spans (n, 2) and vectors (n, dimension) of all.

    `ideal_seconds`: what the model's arithmetic takes at the best rate of the worker's machine; None: not told.
    """

    number: int
    counts: tuple[int, ...]
    spans: NDArray[np.int32]
    vectors: FloatArray
    tokens: int
    ideal_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class FailedUnit:
    """A unit without an answer. `died`: its worker died, the cause is unknown; else `kind` is the error's class."""

    number: int
    kind: str
    message: str
    hint: str = ""
    died: bool = False

    @property
    def error(self) -> VecrollbackError:
        """The error to end a job with."""
        candidate = getattr(errors, self.kind, EmbeddingError)
        has_plain_constructor = isinstance(candidate, type) and issubclass(
            candidate, EmbeddingError | StoppedError | UsageError
        )
        kind = candidate if has_plain_constructor or candidate is EmbedderChangedError else EmbeddingError
        try:
            return kind(self.message, hint=self.hint)
        except TypeError:  # a class with facts of its own
            return EmbeddingError(self.message, hint=self.hint)

    @property
    def stops(self) -> bool:
        """Whether other texts would fail as well: a limit is reached, or the model is not available."""
        return isinstance(self.error, StoppedError | UsageError | EmbedderChangedError)


Outcome = EmbeddedUnit | FailedUnit


class Engine(Protocol):
    """Workers that embed. One thread drives an engine; `close` may come at any time, from any thread.

    An engine writes nothing, so a worker may die, run twice or answer late. `run_unit` is what a worker does with a
    unit, `work` the same where it opens the embedder itself. `vecrollback.testing.EngineConformance` tests what is said
    here.

    Example:
        >>> from vecrollback.embedders import open_embedder
        >>> engine = Threads(open_embedder("hash:32?seed=1"))
        >>> engine.submit(Unit(7, ("ships leave at dawn",)))
        >>> outcome = engine.take()
        >>> outcome.number, outcome.vectors.shape
        (7, (1, 32))
        >>> engine.close()
    """

    @property
    def width(self) -> int:
        """How many units keep all workers busy, at least 1; no more are submitted at a time."""
        ...

    @property
    def workers(self) -> int:
        """How many units are embedded at the same time, at least 1.

        Raises:
            EngineLostError: The workers are gone.
        """
        ...

    def submit(self, unit: Unit) -> None:
        """Give a unit to a worker, without waiting for it.

        Args:
            unit: Texts, under a number that no other running unit has.

        Raises:
            EngineLostError: There are no workers, and there will be none.
        """
        ...

    def take(self) -> Outcome:
        """Wait for the next unit that ends, in any order. Every submitted unit ends once.

        Returns:
            An EmbeddedUnit, or a FailedUnit that says what went wrong: a text that breaks the model is an outcome.

        Raises:
            EngineLostError: The workers are gone, or the engine was closed.
        """
        ...

    def close(self) -> None:
        """Let the workers go and wait for nobody. Idempotent."""
        ...


def open_recipe(recipe: EmbedderRecipe) -> Embedder:
    """Open the embedder of a job where a worker runs.

    Raises:
        EmbedderChangedError: This machine has another model under that string.
        EmbedderSpecError: The string opens nothing here.
    """
    *first, last = dict.fromkeys((recipe.spec, *recipe.others))
    for spec in first:
        with contextlib.suppress(VecrollbackError):
            return _open_as(spec, recipe)
    return _open_as(last, recipe)


def _open_as(spec: str, recipe: EmbedderRecipe) -> Embedder:
    embedder = open_embedder(spec)
    if embedder.fingerprint not in recipe.fingerprints:
        raise EmbedderChangedError(
            f"{spec!r} is another model where the worker runs: {embedder.fingerprint}",
            hint="put the same files there; every worker opens the embedder's string by itself",
        )
    return _compare(embedder, recipe.runtime) if recipe.runtime else embedder


def in_runtime(embedder: Embedder, runtime: Runtime) -> Embedder:
    """The embedder in another runtime."""
    copy: Embedder = embedder.accelerated(runtime)  # type: ignore[attr-defined]
    return copy


def _compare(embedder: Embedder, runtime: Runtime) -> Embedder:
    """The same, compared in the worker that will use it: another machine's processor may round otherwise."""
    copy = in_runtime(embedder, runtime)
    ours, theirs = (one.embed_documents(PROBES[:_COMPARED]) for one in (embedder, copy))
    if not (worst := float(cosines(ours, theirs).min())) >= FLOOR:  # NaN is not near enough either
        raise EmbedderChangedError(
            f"runtime {runtime.name!r} does not give the pair's vectors on this machine: cosine {worst:.6f}",
            hint="--accelerate off",
        )
    return copy


def run_unit(embedder: Embedder, unit: Unit) -> Outcome:
    """Split and embed the texts of a unit. Whatever goes wrong is an outcome; nothing is raised.

    Args:
        embedder: The job's.
        unit: Texts of documents.

    Returns:
        An EmbeddedUnit with the vectors of all chunks in the order of the texts, or a FailedUnit.
    """
    try:
        return _embed(embedder, unit)
    except BaseException as error:  # a panic of Rust code, as in a tokenizer, is not an Exception
        return failed_unit(unit.number, error)


def work(recipe: EmbedderRecipe, unit: Unit) -> Outcome:
    """Embed one unit, in a process that may get units of several jobs; the embedder is kept for the next.

    Args:
        recipe: How to open the embedder here.
        unit: Texts of documents.

    Returns:
        An EmbeddedUnit or a FailedUnit; nothing is raised. Both can be pickled.
    """
    try:
        # One at a time: workers of a cluster outlive jobs, and two models may not fit into the memory.
        if recipe not in _embedders:
            _embedders.clear()
            _embedders[recipe] = open_recipe(recipe)
    except Exception as error:
        return failed_unit(unit.number, error)
    return run_unit(_embedders[recipe], unit)


_embedders: dict[EmbedderRecipe, Embedder] = {}


def failed_unit(number: int, error: BaseException) -> FailedUnit:
    """An error in a form that travels."""
    if isinstance(error, VecrollbackError):
        return FailedUnit(number, type(error).__name__, error.message, error.hint)
    return FailedUnit(number, "EmbeddingError", f"{type(error).__name__}: {error}")


def _embed(embedder: Embedder, unit: Unit) -> EmbeddedUnit:
    parts = [np.array(embedder.chunk(text), dtype=np.int32).reshape(-1, 2) for text in unit.texts]
    chunks = [t[a:b] for t, spans in zip(unit.texts, parts, strict=True) for a, b in spans.tolist()]
    of_documents = sum(map(len, parts[: len(parts) - unit.riders]))
    order = spread(sorted(range(of_documents), key=lambda i: len(chunks[i])), range(of_documents, len(chunks)))
    chunks_by_length = [chunks[i] for i in order]
    vectors = np.empty((len(chunks), embedder.dimension), dtype=np.float32)
    ideals: list[float | None] = []
    if chunks:
        with span("embed", documents=len(unit.texts), texts=len(chunks)):
            vectors[order] = embed_documents(
                embedder, chunks_by_length, after=lambda piece: ideals.append(_ideal(embedder, piece))
            )
    return EmbeddedUnit(
        number=unit.number,
        counts=tuple(map(len, parts)),
        spans=np.concatenate(parts) if parts else np.empty((0, 2), np.int32),
        vectors=vectors,
        tokens=embedder.count_tokens(chunks_by_length) if chunks else 0,
        ideal_seconds=None if None in ideals else sum(seconds or 0.0 for seconds in ideals),
    )


def _ideal(embedder: Embedder, chunks: Sequence[str]) -> float | None:
    """What the embedder says of chunks that it has just embedded; most kinds say nothing."""
    say = getattr(embedder, "ideal_seconds", None)
    try:
        seconds = say(chunks) if say else None
        return None if seconds is None else float(seconds)
    except Exception:  # a number for people is not worth a unit
        return None


class Threads:
    """Threads of this process that share one embedder, and with it its rate and its spend limit.

    One for a model that is here, several for one behind a service. While they embed, the thread that drives them reads
    and writes tables.
    """

    def __init__(self, embedder: Embedder, count: int = 1) -> None:
        self._embedder = embedder
        self._count = count
        self._units: SimpleQueue[Unit | None] = SimpleQueue()
        self._outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def width(self) -> int:
        return self._count

    @property
    def workers(self) -> int:
        return self._count

    def submit(self, unit: Unit) -> None:
        if len(self._threads) < self._count:
            # daemons: a process that ends does not wait for a model
            thread = threading.Thread(target=self._work, name=f"vecrollback-embed-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._units.put(unit)

    def take(self) -> Outcome:
        return self._outcomes.get()

    def close(self) -> None:
        for _ in self._threads:
            self._units.put(None)
        self._threads.clear()

    def _work(self) -> None:
        while (unit := self._units.get()) is not None:
            self._outcomes.put(run_unit(self._embedder, unit))
