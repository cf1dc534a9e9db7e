"""A bounded number of builder processes, and what becomes of one that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from vecrollback.errors import FailedError, IndexSpecError, UsageError
from vecrollback.indexes.sharded.build_process import BuildOrder
from vecrollback.indexes.sharded.thread_pool import cores

WIDTH = "VECROLLBACK_BUILDERS"
_TRIES = 2
_TICK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Builder:
    """`ends`: becomes readable when the process ends, however it ends; `output_file`: its standard output."""

    key: str
    process: subprocess.Popen[bytes]
    ends: Connection
    output_file: Path


class BuildPool:
    """Runs builders, as many at once as there are cores, or as `VECROLLBACK_BUILDERS` says.

    Each holds its own shard's index in memory, and no more of the vectors than the system keeps mapped.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._builders: list[_Builder] = []

    def run(self, orders: Mapping[str, BuildOrder]) -> Iterator[str]:
        """The keys of the orders as they are done. Raises IndexSpecError, FailedError for one that cannot be."""
        width = min(len(orders), _width())
        queue, tries = deque(orders), dict.fromkeys(orders, 0)
        try:
            while queue or self._builders:
                while queue and len(self._builders) < width:
                    key = queue.popleft()
                    tries[key] += 1
                    self._builders.append(self._start(key, orders[key], width))
                for builder in self._next_ended():
                    if not builder.process.returncode:
                        yield builder.key
                        continue
                    self._raise(builder, last=tries[builder.key] == _TRIES)
                    # Killed, most likely for memory: again, with fewer beside it.
                    width = max(1, width // 2)
                    queue.append(builder.key)
        finally:
            self._stop()

    def _start(self, key: str, order: BuildOrder, width: int) -> _Builder:
        file, output_file = self._folder / f"order-{key}.json", self._folder / f"said-{key}"
        file.write_text(order.encoded(), encoding="utf-8")
        # The child imports from where this process does, also in a source tree that was never installed.
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(_threads(width))}
        command = [sys.executable, "-m", "vecrollback.indexes.sharded.build_process", str(file)]
        ours, theirs = Pipe(duplex=False)
        try:
            with theirs, output_file.open("wb") as output:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=output, pass_fds=[theirs.fileno()], env=environment
                )
        except OSError as error:
            ours.close()
            raise FailedError(f"no builder could be started: {error}", hint="is there memory left?") from error
        return _Builder(key, process, ours, output_file)

    def _next_ended(self) -> Iterator[_Builder]:
        """Builders that have ended since the last call; waits for one, but not for ever."""
        # A prune takes the folder of a build that has been silent for a day; this one lives.
        os.utime(self._folder)
        ends = {one.ends: one for one in self._builders}
        for end in wait(list(ends), _TICK_SECONDS):
            builder = ends[end]  # type: ignore[index]
            self._builders.remove(builder)
            builder.process.wait()
            _close(builder)
            yield builder

    def _raise(self, builder: _Builder, *, last: bool) -> None:
        """Raise the error that a builder reported. A killed one reported none, and only its `last` try raises."""
        code, lines = builder.process.returncode, builder.output_file.read_text(encoding="utf-8").splitlines()
        with suppress(ValueError):
            failure = json.loads(lines[-1] if lines else "")
            kind = IndexSpecError if failure["kind"] == "IndexSpecError" else FailedError
            raise kind(failure["message"], hint=failure["hint"])
        if last or code > 0:
            raise FailedError(
                f"the builder of a shard ended with {'signal' if code < 0 else 'code'} {abs(code)}",
                hint=f"is memory short? {WIDTH}=1 builds one shard at a time; shards that are done are kept",
            )

    def _stop(self) -> None:
        for builder in self._builders:
            builder.process.kill()
            builder.process.wait()
            _close(builder)
        self._builders.clear()


def _close(builder: _Builder) -> None:
    builder.ends.close()
    assert builder.process.stdin is not None
    with suppress(OSError):
        builder.process.stdin.close()


def _width() -> int:
    setting = os.environ.get(WIDTH, "")
    if setting and not (setting.isdigit() and int(setting)):
        raise UsageError(f"{WIDTH} is {setting!r}", hint="a number of processes, 1 or more")
    return int(setting) if setting else cores()


def _threads(width: int) -> int:
    """Threads of one builder: the cores shared out, and never more than this process was told to use."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    share = max(1, cores() // width)
    return min(share, int(limit)) if limit.isdigit() and int(limit) else share
