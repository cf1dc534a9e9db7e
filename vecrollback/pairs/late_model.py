"""The model of a pair that did not open: every query tries again, so the pair answers as soon as the model is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from vecrollback.embedders.riding_probes import QueryProbes
from vecrollback.records.arrays import FloatArray

_TRY_SECONDS = 1.0
"""A model that is gone fails slowly: between two tries queries fail at once."""


class QueryModel(Protocol):
    """Embeds the queries of a pair."""

    @property
    def doubt(self) -> str:
        """Why the model cannot be the one that made the pair; "" while it is proven."""
        ...

    @property
    def remote(self) -> bool:
        """Whether it may take long to answer: it runs behind a service, or is not open yet."""
        ...

    def embed(self, texts: list[str]) -> FloatArray: ...
    def embed_proven(self, texts: Sequence[str]) -> FloatArray: ...


class LateModel:
    """Stands in for a model that could not be opened. Safe to use from many threads.

    Args:
        open_model: Opens it and proves that it is the one that made the pair.
        error: What came of the first try.
    """

    def __init__(self, open_model: Callable[[], QueryProbes], error: Exception) -> None:
        self._open_model, self._error = open_model, error
        self._next_try = time.monotonic() + _TRY_SECONDS
        self._model: QueryProbes | None = None
        self._lock = threading.Lock()

    @property
    def remote(self) -> bool:
        return self._model is None or self._model.remote

    @property
    def doubt(self) -> str:
        return self._model.doubt if self._model else ""

    def embed(self, texts: list[str]) -> FloatArray:
        """Query vectors, shape (len(texts), dimension). Raises what opening the model raised, while it is gone."""
        return self._opened().embed(texts)

    def embed_proven(self, texts: Sequence[str]) -> FloatArray:
        return self._opened().embed_proven(texts)

    def _opened(self) -> QueryProbes:
        with self._lock:
            if self._model is None:
                if time.monotonic() < self._next_try:
                    raise self._error.with_traceback(None)
                try:
                    self._model = self._open_model()
                except Exception as error:
                    self._error = error
                    raise
                finally:
                    self._next_try = time.monotonic() + _TRY_SECONDS
            return self._model
