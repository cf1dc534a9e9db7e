"""A line on stderr whenever a command has said nothing for a while: what it is doing, and for how long it runs.

Somebody who waits at night, and a log that a scheduler keeps, can tell a command that works from one that hangs.
`VECROLLBACK_PROGRESS=never` leaves the lines out; a number says after how many seconds they come.
"""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType

from vecrollback.cli.support.output import note
from vecrollback.storage.steps import current_step

_SILENT_SECONDS = 4.5
_VARIABLE = "VECROLLBACK_PROGRESS"

_newest = ""


def tell(sentence: str) -> None:
    """What a command would show where there is a terminal: the next line says it."""
    global _newest
    _newest = sentence


class Heartbeat:
    """A context around a command's work."""

    def __init__(self, command: str) -> None:
        self._command, self._start = command, time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Heartbeat:
        tell("")
        if (seconds := _seconds()) is not None:
            self._thread = threading.Thread(
                target=self._run, args=(seconds,), name="vecrollback-heartbeat", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, seconds: float) -> None:
        while not self._over.wait(seconds):
            doing = "; ".join(filter(None, (_newest, current_step()))) or "at work"
            note(f"{self._command}: {doing} ({time.monotonic() - self._start:.0f} s)")


def _seconds() -> float | None:
    """Between two lines; None for none at all. What is not a number is none of a command's business to refuse."""
    value = os.environ.get(_VARIABLE, "")
    if value == "never":
        return None
    try:
        return max(0.001, float(value)) if value else _SILENT_SECONDS
    except ValueError:
        return _SILENT_SECONDS
