"""What this machine has to spare: memory, and processor time that nobody else wants.

Work that takes long beside queries takes what they leave. Linux has a scheduling class for that, in which a thread runs
only where nothing else wants to. On a machine without a moment to spare such a thread stands still, and a check would
never end. So the class is left, for a while, when the work gets next to nothing; a process that could not come back
(without CAP_SYS_NICE) is nice instead.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

_NICE = 5
"""How nice work is that could not come back: beside a process of the usual priority it gets a quarter of a core."""

_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS, _LEAST_SHARE = 2.0, 0.1
"""Work that wanted to run for so long and got less than this share of it stands still."""
_AWAY_SECONDS = 30.0
_PROC = Path("/proc")
_TASKS = _PROC / "self/task"


def available_memory() -> float | None:
    """Bytes that could be used without swapping; None where the system has no word for it."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return None


def resident_memory() -> float | None:
    """Bytes of memory that this process has now; None where the system has no word for it."""
    try:
        pages = int((_PROC / "self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def yield_to_others() -> None:
    """Run only when nothing else wants to, where the system has a class for that; else with the least priority."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        os.nice(19)


def yield_unless_starved() -> None:
    """Let this process run in the idle class, but for the time in which it would stand still there.

    Called once, before the process has threads: those that it starts later are of the class of who starts them.
    """
    if not _can_return():
        os.nice(_NICE)
        return
    threading.Thread(target=_watch, name="vecrollback-yielding", daemon=True).start()
    yield_to_others()


def _can_return() -> bool:
    """Whether a thread of this process may leave the idle class again. Tried on a thread that ends then."""
    outcome: list[bool] = []

    def attempt() -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            outcome.append(_TASKS.is_dir())

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return outcome == [True]


def _watch() -> None:
    """On a thread of the usual class, or it would stand still too."""
    own = threading.get_native_id()
    starvation = Starvation()
    while True:
        time.sleep(_LOOK_SECONDS)
        if starvation.looks_so(*_times(own)):
            _set_class(own, os.SCHED_OTHER)
            time.sleep(_AWAY_SECONDS)
            _set_class(own, os.SCHED_IDLE)
            starvation = Starvation()


class Starvation:
    """Tells from how long threads ran and waited, both in seconds since they began, whether they stand still."""

    def __init__(self) -> None:
        self._since: tuple[float, float] | None = None

    def looks_so(self, ran: float, waited: float) -> bool:
        """Whether the work wanted to run for some seconds, and next to nothing came of it. Asked again and again."""
        if self._since is None:
            self._since = ran, waited
            return False
        run, wait = ran - self._since[0], waited - self._since[1]
        if run + wait < _PATIENCE_SECONDS:
            return False
        self._since = None
        return run < _LEAST_SHARE * (run + wait)


def _times(own: int) -> tuple[float, float]:
    """Seconds for which the other threads ran, and for which they were ready to run and had no processor."""
    ran = waited = 0
    for task in _TASKS.iterdir():
        with contextlib.suppress(OSError):  # it may have ended
            if task.name != str(own):
                first, second, _ = (task / "schedstat").read_text().split()
                ran, waited = ran + int(first), waited + int(second)
    return ran / 1e9, waited / 1e9


def _set_class(own: int, policy: int) -> None:
    for task in _TASKS.iterdir():
        with contextlib.suppress(OSError):
            if task.name != str(own):
                os.sched_setscheduler(int(task.name), policy, os.sched_param(0))
