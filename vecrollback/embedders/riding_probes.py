"""Probes that ride along: proof, while a model embeds and serves, that it still is the one that made the pair.

A model behind a name may change at any moment: a provider replaces it, a server is restarted with other weights. What
was proven when a process started says nothing about the batch that is written an hour later. So a few of the pair's
short probe texts travel with every batch, and with a query every few seconds, and their vectors are compared with the
recorded ones before anybody relies on the rest.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from vecrollback.embedders.base import Embedder, traits_of
from vecrollback.embedders.common import excerpt
from vecrollback.embedders.pieces import embed_documents
from vecrollback.embedders.probe_texts import PROBES, QUERIES
from vecrollback.errors import BadQueryError, EmbedderChangedError, TextRefusedError, VecrollbackError
from vecrollback.records.arrays import FloatArray, cosines

_log = logging.getLogger(__name__)

Embed = Callable[[list[str]], FloatArray]

_RIDERS = 16
"""The shortest probes take turns: about ten tokens each, against thousands in a batch."""

_TEXTS_PER_RIDER = 64
"""Behind a service parts of one batch may be answered by different replicas: one rider for so many texts, and one more.
An embedder that lets one ride in each of its requests (`proves_requests`) needs no more than one; nor does a model in
this process."""

ENOUGH_DRAWS = 12
"""So many probes in a row that all meet the sound ones of three replicas are a matter of 1 in 100."""

_ASKED = 4
"""Probe queries by which a model shows that it answers."""

PROOF_SECONDS = 10.0
"""A query carries probes when the last proof is as old as this: one query in a hundred at ten a second."""


class BatchProbes:
    """Draws the probes that ride with a batch of documents, and judges what came back for them.

    `doubt` says what was wrong the last time; "" while the model is the pair's own.

    Args:
        embedder: The pair's embedder, as it chunks texts.
        recorded: The pair's probe vectors, shape (80, dimension).
        floor: Cosine from which two vectors of one probe are the same model's.
    """

    def __init__(self, embedder: Embedder, recorded: FloatArray, floor: float) -> None:
        self._embedder, self._spec, self._recorded, self._floor = embedder, embedder.spec, recorded, floor
        self._tokens: dict[int, int] = {}
        exact, remote = bool(getattr(embedder, "proves_requests", False)), traits_of(embedder).remote
        self._by_request = remote and not exact
        # How many good draws before one that failed leave the rows in doubt that they rode with.
        self.draws_in_doubt = 0 if exact else ENOUGH_DRAWS if remote else 1
        self.doubt = ""
        # Engines embed chunks, the record was made of whole texts: only a probe that is one chunk can be compared.
        whole = [n for n, text in enumerate(PROBES) if list(embedder.chunk(text)) == [(0, len(text))]]
        telling = [n for n in whole if recorded[n].any()]  # a model may have no vector for ".": zero proves nothing
        # What any working model of the pair embeds: tells a broken model from a text that it does not take.
        self.known_good = PROBES[min(telling, key=lambda n: len(PROBES[n]))] if telling else PROBES[0]
        self._turn = itertools.cycle(sorted(telling, key=lambda n: len(PROBES[n]))[:_RIDERS]) if telling else None

    def draw(self, texts: int) -> tuple[int, ...]:
        """Numbers of the probes that ride with so many texts; none when no probe can be compared."""
        return tuple(itertools.islice(self._turn, self.count(texts))) if self._turn is not None else ()

    def count(self, texts: int) -> int:
        """How many probes ride with so many texts."""
        if self._turn is None:
            return 0
        return 1 + (texts > 1) + texts // _TEXTS_PER_RIDER if self._by_request else 1

    def embed(self, texts: Sequence[str], after: Callable[[Sequence[str]], None] = lambda _: None) -> FloatArray:
        """Vectors of these texts as documents, shape (len(texts), dimension), proven by probes among them.

        `after` is called with the texts of each piece, see `embed_documents`.
        Raises EmbedderChangedError, and what embedding raises.
        """
        riders = self.draw(len(texts))
        every = [*texts, *(PROBES[n] for n in riders)]
        order = spread(range(len(texts)), range(len(texts), len(every)))
        vectors = np.empty((len(every), self._embedder.dimension), np.float32)
        vectors[order] = embed_documents(self._embedder, [every[i] for i in order], after)
        self.examine(riders, vectors[len(texts) :])
        return vectors[: len(texts)]

    def tokens(self, numbers: Sequence[int]) -> int:
        """Tokens of these probes, for whoever counts those of the documents."""
        for number in numbers:
            if number not in self._tokens:
                self._tokens[number] = self._embedder.count_tokens([PROBES[number]])
        return sum(self._tokens[number] for number in numbers)

    def examine(self, numbers: Sequence[int], vectors: FloatArray) -> None:
        """Compare the riders' vectors, shape (len(numbers), dimension). Raises EmbedderChangedError."""
        if not numbers:
            return
        self.doubt = _doubt(self._spec, self._recorded[list(numbers)], vectors, numbers, self._floor)
        if self.doubt:
            raise EmbedderChangedError(
                self.doubt,
                hint="nothing that it made just now was written; put the model back that made the pair, or build a new "
                "pair with this one: `vecrollback reembed`",
            )


def spread(places: Sequence[int], riders: Sequence[int]) -> list[int]:
    """The places with riders among them: one before all, one behind all, the others evenly; a single one behind all.

    A model that is exchanged between two calls for one unit, or one of several replicas, meets the rider that follows.

    Example:
        >>> spread([1, 2, 3, 4], [7, 8, 9])
        [7, 1, 2, 8, 3, 4, 9]
    """
    order = list(places)
    gaps = max(1, len(riders) - 1)
    for number, rider in zip(range(gaps, -1, -1), reversed(riders), strict=False):
        order.insert(round(number * len(places) / gaps), rider)
    return order


class QueryProbes:
    """Embeds queries, and lets two probe queries ride along when the last proof is some seconds old.

    Safe to use from many threads. `doubt` says what is wrong since the last proof failed; "" while it holds.
    """

    def __init__(self, embedder: Embedder, recorded: FloatArray | None, floor: float) -> None:
        self._embedder, self._recorded, self._floor = embedder, recorded, floor
        # `answer_queries`: limits for somebody who waits, of an embedder that has such.
        self._answer: Embed = getattr(embedder, "answer_queries", embedder.embed_queries)
        usable = [] if recorded is None else [n for n in range(QUERIES) if recorded[len(PROBES) + n].any()]
        self._turn = itertools.cycle(sorted(usable, key=lambda n: len(PROBES[n]))) if len(usable) > 1 else None
        self._known_good = PROBES[min(usable, key=lambda n: len(PROBES[n]))] if usable else PROBES[0]
        self._due = time.monotonic() + PROOF_SECONDS  # whoever opened the model has just proven it
        self._lock = threading.Lock()
        self._owed = 0
        self.doubt = ""
        self.remote = traits_of(embedder).remote

    def reach(self) -> None:
        """See that the service of a remote model answers, within the limits of a query.

        Raises EmbeddingError. A model in this process is not asked: it answers, or it cannot be loaded.
        """
        if hasattr(self._embedder, "answer_queries"):
            self._answer([self._known_good])

    def embed(self, texts: list[str]) -> FloatArray:
        """Query vectors, shape (len(texts), dimension), while somebody waits for the answer.

        Raises:
            BadQueryError: The model does not take one of these texts, though it takes others.
            EmbeddingError: The model, or its service, does not work.
        """
        return self._embed(texts, self._answer)

    def embed_proven(self, texts: Sequence[str]) -> FloatArray:
        """The same for whoever measures with the vectors, and has time.

        Raises EmbedderChangedError when the last proof failed.
        """
        vectors = self._embed(list(texts), self._embedder.embed_queries)
        if self.doubt:
            raise EmbedderChangedError(
                self.doubt, hint="answers of another model than the index's are not worth measuring: put the model back"
            )
        return vectors

    def proven_at(self, moment: float) -> None:
        """Say when the model was proven last, on the clock of `time.monotonic`."""
        self._due = moment + PROOF_SECONDS

    def ask(self) -> None:
        """Embed a few probe queries now, within the limits of a query, and compare them.

        Raises EmbedderChangedError when the model is another one, and what embedding raises.
        """
        if self._turn is None:
            self._answer([self._known_good])
            return
        with self._lock:
            numbers = tuple(itertools.islice(self._turn, _ASKED))
            self._judge(numbers, self._answer([PROBES[n] for n in numbers]))
        if self.doubt:
            raise EmbedderChangedError(self.doubt, hint="put the model back that made the pair")

    def _embed(self, texts: list[str], embed: Embed) -> FloatArray:
        if self._turn is None or time.monotonic() < self._due or not self._lock.acquire(blocking=False):
            return self._usable(texts, embed)
        try:
            numbers = tuple(itertools.islice(self._turn, 2))
            try:
                vectors = embed([*texts, *(PROBES[n] for n in numbers)])
            except Exception as error:
                if not _may_be_a_texts_fault(error):
                    raise
                return self._usable(texts, embed)  # alone: no query is to blame for a probe
            self._judge(numbers, vectors[len(texts) :])
            return self._checked(texts, vectors[: len(texts)])
        finally:
            self._lock.release()

    def _usable(self, texts: list[str], embed: Embed) -> FloatArray:
        """The vectors, or an error that says whether the texts or the model are to blame."""
        try:
            return self._checked(texts, embed(texts))
        except Exception as error:
            if not _may_be_a_texts_fault(error):
                raise
            embed([self._known_good])  # raises when it is the model
            what = "this query" if len(texts) == 1 else f"one of {len(texts)} queries"
            raise BadQueryError(
                f"the model cannot embed {what}: {error}", hint="ask with other, or fewer, words"
            ) from error

    def _checked(self, texts: list[str], vectors: FloatArray) -> FloatArray:
        """Refuse a vector that is near nothing and to nothing, which an embedder of the user's own may return."""
        squares = np.einsum("ij,ij->i", vectors, vectors)
        if all(0.0 < one < math.inf for one in squares.tolist()):
            return vectors
        usable = np.isfinite(squares) & ((squares > 0) | (self._embedder.metric == "l2"))
        if not usable.all():
            worst = int(np.argmin(usable))
            what = "of length zero" if squares[worst] == 0 else "with NaN or infinity"
            raise TextRefusedError(f"query {worst} of {len(texts)} got a vector {what}: {excerpt(texts[worst])}")
        return vectors

    def _judge(self, numbers: Sequence[int], vectors: FloatArray) -> None:
        assert self._recorded is not None
        recorded = self._recorded[[len(PROBES) + n for n in numbers]]
        doubt = _doubt(self._embedder.spec, recorded, vectors, numbers, self._floor)
        if doubt and not self.doubt:
            _log.error("%s: queries are not embedded by the model that made the index", doubt)
        elif self.doubt and not doubt:
            _log.warning("%s gives the recorded vectors again", self._embedder.spec)
        self.doubt = doubt
        # In doubt the next query asks again, so that a swap back heals at once. One sound answer may be that of a sound
        # replica beside another: behind a service every query carries its proof until a dozen in a row were sound.
        self._owed = ENOUGH_DRAWS * self.remote if doubt else max(0, self._owed - 1)
        self._due = 0.0 if doubt or self._owed else time.monotonic() + PROOF_SECONDS


def _may_be_a_texts_fault(error: Exception) -> bool:
    """Whether other texts could fare better. An embedder of the user's own may raise anything over a text."""
    return isinstance(error, TextRefusedError) or not isinstance(error, VecrollbackError | OSError)


def _doubt(spec: str, recorded: FloatArray, vectors: FloatArray, numbers: Sequence[int], floor: float) -> str:
    """What is wrong with the vectors of these probes; "" when nothing is."""
    if recorded.shape != vectors.shape:
        return f"{spec} gives vectors of {vectors.shape[-1]} dimensions, not of {recorded.shape[-1]}"
    near = np.nan_to_num(cosines(recorded, vectors), nan=0.0)
    worst = int(np.argmin(near))
    if near[worst] >= floor:
        return ""
    return (
        f"{spec} no longer gives the vectors that made the pair: cosine {near[worst]:.6f} < {floor} "
        f"for probe {numbers[worst]} ({excerpt(PROBES[numbers[worst]])})"
    )
