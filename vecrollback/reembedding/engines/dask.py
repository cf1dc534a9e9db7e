"""Dask distributed: workers of a cluster, or one of this machine for the length of a job (extra `dask`)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from vecrollback.errors import EngineLostError, MissingDependencyError, UsageError
from vecrollback.reembedding.engines.base import EmbedderRecipe, FailedUnit, Outcome, Unit, failed_unit, work

_CONNECT_SECONDS = 30
_LOOK_SECONDS = 1.0
_LOST_SECONDS = 60.0


def open_dask(setting: str, recipe: EmbedderRecipe) -> Cluster:
    """Connect to `dask://HOST:PORT`, or start `dask:N` here. Raises MissingDependencyError, EngineLostError."""
    distributed = _import_dask()
    if recipe.idle:
        raise UsageError(
            "Dask's workers are processes of their own", hint="start them with `nice`, or use --engine local:N --idle"
        )
    name, _, rest = setting.partition(":")
    if name == "dask" and not rest.startswith("//"):

        def connect() -> Any:
            # Workers listen on every interface unless they are told not to.
            options = {"n_workers": int(rest or 1), "threads_per_worker": 1, "dashboard_address": None}
            return distributed.Client(distributed.LocalCluster(host="127.0.0.1", **options))

    else:
        address = setting.replace("dask://", "tcp://", 1)

        def connect() -> Any:
            return distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)

    return Cluster(recipe, connect, setting)


def _import_dask() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingDependencyError("dask", "dask") from error
    return distributed


class Cluster:
    """Units as Dask tasks. A worker that dies is the scheduler's to replace; a lost scheduler ends the job."""

    def __init__(self, recipe: EmbedderRecipe, connect: Callable[[], Any], place: str) -> None:
        self._recipe, self._connect, self._place = recipe, connect, place
        # Not `id(self)`: Dask answers a key that it knows, and another job's engine may come to lie at this address.
        self._prefix = f"vecrollback-{uuid.uuid4().hex}"
        self._client: Any = None
        self._count, self._counted_at = 1, float("-inf")
        self._futures: dict[int, Any] = {}
        self._numbers: SimpleQueue[int] = SimpleQueue()

    @property
    def width(self) -> int:
        """Two units for each thread of the workers: one is on its way while the other is worked on."""
        return 2 * self.workers

    @property
    def workers(self) -> int:
        if time.monotonic() - self._counted_at > _LOOK_SECONDS:  # asking costs as much as a unit does
            try:
                self._count = max(1, int(sum(self._open_client().nthreads().values())))
            except (OSError, TimeoutError) as error:
                raise self._lost_error() from error
            self._counted_at = time.monotonic()
        return self._count

    def submit(self, unit: Unit) -> None:
        key = f"{self._prefix}-{unit.number}"
        try:
            future = self._open_client().submit(work, self._recipe, unit, pure=False, key=key)
        except (OSError, TimeoutError) as error:
            raise self._lost_error() from error
        self._futures[unit.number] = future
        future.add_done_callback(lambda _: self._numbers.put(unit.number))

    def take(self) -> Outcome:
        number = self._next()
        future = self._futures.pop(number)
        try:
            outcome: Outcome = future.result(timeout=_CONNECT_SECONDS)
        except Exception as error:
            if self._lost():
                raise self._lost_error() from error
            # the scheduler gives up on a task whose workers died again and again
            died = type(error).__name__ in ("KilledWorker", "CancelledError", "FutureCancelledError")
            return (
                FailedUnit(number, "EmbeddingError", f"the worker died: {error}", died=True)
                if died
                else failed_unit(number, error)
            )
        finally:
            future.release()
        return outcome

    def close(self) -> None:
        if self._client is None:
            return
        client, self._client = self._client, None
        cluster = client.cluster
        client.close(timeout=5)
        if cluster is not None:
            cluster.close(timeout=10)

    def _open_client(self) -> Any:
        if self._client is None:
            try:
                self._client = self._connect()
            except (OSError, TimeoutError) as error:
                raise self._lost_error() from error
        return self._client

    def _next(self) -> int:
        silent = 0.0
        while True:
            try:
                return self._numbers.get(timeout=_LOOK_SECONDS)
            except Empty:
                silent = silent + _LOOK_SECONDS if self._lost() else 0.0
                if silent >= _LOST_SECONDS:
                    raise self._lost_error() from None

    def _lost(self) -> bool:
        return self._client is None or self._client.status not in ("running", "newly-created")

    def _lost_error(self) -> EngineLostError:
        return EngineLostError(
            f"no Dask scheduler at {self._place}", hint="start one; the same command goes on where it stopped"
        )
