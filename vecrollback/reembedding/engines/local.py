"""Worker processes on this machine, one thread of computation each, and which accelerator each of them gets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from vecrollback.embedders import Embedder
from vecrollback.errors import EngineLostError
from vecrollback.reembedding.engines.base import EmbedderRecipe, FailedUnit, Outcome, Unit

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Several processes of several threads each wait for each other's cores: five times slower was measured."""


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    place: int
    unit: Unit | None = None


class Local:
    """Processes that are started when first needed, and again when one dies.

    Where there are several accelerators, each process gets one of `devices`, in turn.
    """

    def __init__(self, recipe: EmbedderRecipe, count: int, devices: Sequence[str] = ()) -> None:
        self._recipe = recipe
        self._count = count
        self._devices = devices
        self._workers: list[_Worker] = []
        self._dead: deque[FailedUnit] = deque()

    @property
    def width(self) -> int:
        return self._count

    @property
    def workers(self) -> int:
        return self._count

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers there are."""
        return [worker.process.pid for worker in self._workers]

    def submit(self, unit: Unit) -> None:
        worker = next((one for one in self._workers if one.unit is None), None) or self._start()
        worker.unit = unit
        try:
            worker.connection.send(unit)
        except OSError:
            self._dead.append(self._bury(worker))

    def take(self) -> Outcome:
        if self._dead:
            return self._dead.popleft()
        busy = {one.connection: one for one in self._workers if one.unit is not None}
        ready = wait(list(busy))
        worker = busy[ready[0]]  # type: ignore[index]
        try:
            outcome: Outcome = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        worker.unit = None
        return outcome

    def close(self) -> None:
        for worker in self._workers:
            worker.connection.close()  # a worker ends when nobody listens
        for worker in self._workers:
            try:
                worker.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._workers.clear()

    def _start(self) -> _Worker:
        ours, theirs = Pipe()
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        place = min(set(range(self._count)) - {one.place for one in self._workers})
        environment = os.environ | {"PYTHONPATH": paths} | self._settings(place)
        descriptor = theirs.fileno()
        command = [sys.executable, "-m", "vecrollback.reembedding.engines.process", str(descriptor)]
        try:
            process = subprocess.Popen(command, pass_fds=[descriptor], env=environment, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise EngineLostError(f"no worker could be started: {error}", hint="is there memory left?") from error
        finally:
            theirs.close()
        worker = _Worker(process, ours, place)
        with contextlib.suppress(OSError):  # a worker that is dead already is found out when it gets a unit
            ours.send(self._recipe)
        self._workers.append(worker)
        return worker

    def _settings(self, place: int) -> dict[str, str]:
        """Environment of the worker at this place."""
        if self._devices:
            return {"CUDA_VISIBLE_DEVICES": self._devices[place % len(self._devices)]}
        return _ONE_THREAD if self._count > 1 else {}

    def _bury(self, worker: _Worker) -> FailedUnit:
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.kill()
        code = worker.process.wait()
        assert worker.unit is not None
        return FailedUnit(worker.unit.number, "EmbeddingError", f"the worker {_death(code)}", died=True)


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


VISIBLE = "CUDA_VISIBLE_DEVICES"


def devices_for(embedder: Embedder) -> tuple[str, ...]:
    """What to name to each worker in turn as its only device; empty: leave it to the model.

    A model whose string names one device stays there, in every worker.
    """
    torch = sys.modules.get("torch")  # a model that runs in it has been loaded by now, for its probes
    if torch is None or getattr(embedder, "device", None) not in (None, "cuda"):
        return ()
    return named(torch.cuda.device_count(), os.environ)


def named(count: int, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the devices that this process sees; empty when there is no choice.

    With the variable set they are what it lists: numbers, or ids of devices or of their parts.
    """
    if count < 2:
        return ()
    names = [name.strip() for name in environment.get(VISIBLE, "").split(",") if name.strip()]
    return tuple(names[:count]) if names else tuple(map(str, range(count)))
