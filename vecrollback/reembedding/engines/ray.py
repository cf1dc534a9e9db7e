"""Ray core tasks: workers of a cluster, or some of this machine for the length of a job (extra `ray`)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vecrollback.errors import EngineLostError, MissingDependencyError, UsageError
from vecrollback.reembedding.engines.base import EmbedderRecipe, FailedUnit, Outcome, Unit, failed_unit, work

_DIED = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "LocalRayletDiedError")
_LOST = ("RaySystemError", "ConnectionError", "RpcError", "AuthenticationError")


def open_ray(setting: str, recipe: EmbedderRecipe) -> Tasks:
    """Connect to `ray://HOST:PORT`, or start `ray:N` here. Raises MissingDependencyError, EngineLostError."""
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError("ray", "ray") from error
    if recipe.idle:
        raise UsageError(
            "Ray's workers are processes of their own", hint="start them with `nice`, or use --engine local:N --idle"
        )
    _, _, rest = setting.partition(":")
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    if rest.startswith("//"):
        options |= {"address": setting}
    else:
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        variables = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        options |= {
            "num_cpus": int(rest or 1),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            "runtime_env": {"env_vars": variables},
        }
    return Tasks(recipe, lambda: ray.init(**options), setting)


class Tasks:
    """Units as Ray tasks that are tried once: whoever drives the engine decides what a death means."""

    def __init__(self, recipe: EmbedderRecipe, connect: Callable[[], Any], place: str) -> None:
        self._recipe, self._connect, self._place = recipe, connect, place
        self._context: Any = None
        self._work: Any = None
        self._numbers: dict[Any, int] = {}

    @property
    def workers(self) -> int:
        import ray

        self._open()
        try:
            return max(1, int(ray.cluster_resources().get("CPU", 1)))
        except Exception as error:
            raise self._lost_error(error) from error

    @property
    def width(self) -> int:
        """Two units for each processor: one is on its way while the other is worked on."""
        return 2 * self.workers

    def submit(self, unit: Unit) -> None:
        self._open()
        try:
            self._numbers[self._work.remote(self._recipe, unit)] = unit.number
        except Exception as error:
            raise self._lost_error(error) from error

    def take(self) -> Outcome:
        import ray

        try:
            [ready], _ = ray.wait(list(self._numbers), num_returns=1)
        except Exception as error:
            raise self._lost_error(error) from error
        number = self._numbers.pop(ready)
        try:
            outcome: Outcome = ray.get(ready)
        except Exception as error:
            if type(error).__name__ in _DIED:
                return FailedUnit(number, "EmbeddingError", f"the worker died: {error}", died=True)
            if type(error).__name__ in _LOST:
                raise self._lost_error(error) from error
            return failed_unit(number, error)
        return outcome

    def close(self) -> None:
        if self._context is None:
            return
        context, self._context = self._context, None
        self._numbers.clear()
        with contextlib.suppress(Exception):
            context.disconnect()

    def _open(self) -> None:
        if self._context is not None:
            return
        import ray

        try:
            self._context = self._connect()
        except Exception as error:
            raise self._lost_error(error) from error
        # No retries by Ray: a text that kills one worker would kill others; the dispatcher decides what is tried again.
        self._work = ray.remote(max_retries=0, num_cpus=1)(work)

    def _lost_error(self, error: Exception) -> EngineLostError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return EngineLostError(
            f"no Ray cluster at {self._place}: {reason}",
            hint="start one; the same command goes on where it stopped",
        )
