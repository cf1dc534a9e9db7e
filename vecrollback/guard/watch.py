"""After a collection was opened: the model's probes ride along, and rows are compared as they are written."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
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
_ROW_CURE = f"{_CURE}; if more than the text is embedded, say so with template="


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
        rider = self._next_rider()
        return self._without_rider(rider, embed([*texts, PROBES[rider]]))

    async def embed_awaited(self, embed: Callable[[list[str]], Awaitable[Any]], texts: list[str]) -> Any:
        """The same with an `embed` that is awaited."""
        rider = self._next_rider()
        return self._without_rider(rider, await embed([*texts, PROBES[rider]]))

    def ask(self) -> None:
        """Compare a probe query, when the last proof is some seconds old, or failed."""
        with self._lock:
            if self._query_turn is None or time.monotonic() < self._due:
                return
            number = next(self._query_turn)
            self._due = time.monotonic() + PROOF_SECONDS
        try:
            vector = self._model.embed_queries([PROBES[number]])[0]
        except BaseException:
            self._due = 0.0  # nothing was proven
            raise
        self._judge(number, "query", self._stamp.probes[len(PROBES) + number], vector)

    def examine(self, texts: Sequence[str | None], vectors: Sequence[Any]) -> None:
        """Before rows are written: embed one of them and a probe, and compare. The longest row tells most.

        The row shows that this model made it, the probe that this model still is the one of the stamp: a model that
        changed under its name agrees with the rows that it made since.
        """
        if all(vector is None for vector in vectors):
            return
        known = [n for n, text in enumerate(texts) if text and text.strip() and vectors[n] is not None]
        # One of another size first: a store in memory would take it.
        order = [(len(vectors[n]) != self._stamp.dimension, len(texts[n] or ""), n) for n in known]
        row, rider = max(order)[2] if order else None, self._next_rider()
        made = self._model.embed_documents([*([] if row is None else [str(texts[row])]), PROBES[rider]])
        if row is not None:
            self._judge_row(str(texts[row]), np.asarray(vectors[row], np.float32), made[0])
        self._judge(rider, "document", self._stamp.probes[rider], made[-1])

    def _next_rider(self) -> int:
        with self._lock:
            return next(self._turn)

    def _without_rider(self, rider: int, vectors: Any) -> Any:
        self._judge(rider, "document", self._stamp.probes[rider], vectors[-1])
        return vectors[:-1]

    def _judge_row(self, text: str, vector: FloatArray, made: FloatArray) -> None:
        near = _cosine(vector, made)
        if near < self._stamp.floor:
            self._drift(
                FingerprintMismatchError(
                    f"a vector to be written is not what {self._model.spec} makes of its text: cosine {near:.4f} for "
                    f"{excerpt(text)}",
                    hint=_ROW_CURE,
                )
            )

    def _judge(self, number: int, role: str, recorded: FloatArray, vector: Any) -> None:
        near = _cosine(recorded, np.asarray(vector, np.float32))
        if near < self._stamp.floor:
            self._due = 0.0  # in doubt every query is proven: one that follows at once would pass otherwise
            self._drift(
                EmbedderChangedError(
                    f"{self._model.spec} no longer gives the vectors of the stamp ({self._stamp.spec}): cosine "
                    f"{near:.4f} for probe {number} as a {role}",
                    hint=_CURE,
                )
            )


def checked(check: Callable[[], None], call: Callable[..., Any]) -> Callable[..., Any]:
    """A call, with something to be checked before it."""

    @functools.wraps(call)
    def called(*values: Any, **options: Any) -> Any:
        check()
        return call(*values, **options)

    return called


def checked_awaited(check: Callable[[], None], call: Callable[..., Any]) -> Callable[..., Any]:
    """The same with a call that is awaited; the check embeds, so it is made on another thread."""

    @functools.wraps(call)
    async def called(*values: Any, **options: Any) -> Any:
        await asyncio.to_thread(check)
        return await call(*values, **options)

    return called


class CheckedWrites:
    """The calls by which a store writes rows, with the rows checked before.

    Args:
        check: Called with the rows; it raises what is wrong with them.
        name: What the calls name their first argument, the rows.
    """

    def __init__(self, check: Callable[[Sequence[Any]], None], name: str) -> None:
        self._check, self._name = check, name
        # A store whose awaited call leads to the other would have its rows checked twice, on the event loop.
        self._passed: set[int] = set()

    def write(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call that writes."""

        @functools.wraps(call)
        def writing(*values: Any, **options: Any) -> Any:
            rows = values[0] if values else options[self._name]
            if id(rows) not in self._passed:
                self._check(rows)
            return call(*values, **options)

        return writing

    def write_awaited(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call that writes, and is awaited; the check embeds, so it is made on another thread."""

        @functools.wraps(call)
        async def writing(*values: Any, **options: Any) -> Any:
            rows = values[0] if values else options[self._name]
            await asyncio.to_thread(self._check, rows)
            self._passed.add(id(rows))
            try:
                return await call(*values, **options)
            finally:
                self._passed.discard(id(rows))

        return writing


def _cosine(one: FloatArray, other: FloatArray) -> float:
    if one.shape != other.shape:
        return 0.0
    with np.errstate(all="ignore"):
        return float(np.nan_to_num(cosines(one[None], other[None]), nan=0.0)[0])
