"""A model that queries wait for only so long: what lets another answer take the place of one that does not come."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTimeError

from vecrollback.errors import ServiceDownError, UsageError, VecrollbackError
from vecrollback.pairs.late_model import QueryModel
from vecrollback.records.arrays import FloatArray

TROUBLE = (VecrollbackError, OSError, ImportError)
"""What a model that is gone raises, and what a query that nobody can take does not."""

_TRY_SECONDS = 1.0
_THREADS = 8


class PatientModel:
    """A model that queries wait for only so long.

    Once it has failed, queries fail at once, and one a second is sent beside them, on a thread of its own, until one is
    answered: no caller waits for a model that is gone. A model in this process answers or fails, so it is called
    directly.
    """

    def __init__(self, model: QueryModel) -> None:
        self.model = model
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="vecrollback-query")
        self._lock = threading.Lock()
        self._error: Exception | None = None
        self._next_try = 0.0

    def embed(self, texts: list[str], patience: float) -> FloatArray:
        """Query vectors. Raises what the model raises, and ServiceDownError when it takes longer than `patience`."""
        if self._error is not None and (error := self._failing(texts)):
            raise error
        try:
            if not self.model.remote:
                return self.model.embed(texts)
            return self._pool.submit(self.model.embed, texts).result(patience)
        except NotInTimeError:
            error = ServiceDownError(f"the model did not answer in {patience:g} s", hint="is its service up?")
            self._note(error)
            raise error from None
        except UsageError:
            raise  # a query that no model takes says nothing about this one
        except TROUBLE as error:
            self._note(error)
            raise

    def _note(self, error: Exception | None) -> None:
        with self._lock:
            self._error, self._next_try = error, time.monotonic() + _TRY_SECONDS

    def _failing(self, texts: list[str]) -> Exception | None:
        with self._lock:
            error = self._error
            if error is not None and time.monotonic() >= self._next_try:
                self._next_try = time.monotonic() + _TRY_SECONDS
                self._pool.submit(self._try, texts)
        return error

    def _try(self, texts: list[str]) -> None:
        try:
            self.model.embed(texts)
        except UsageError:
            return
        except Exception as error:
            self._note(error)
        else:
            self._note(None)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
