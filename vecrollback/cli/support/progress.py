"""Progress of long work on stderr, and a Ctrl-C that loses nothing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from vecrollback.cli.support import render_jobs
from vecrollback.cli.support.heartbeat import tell
from vecrollback.cli.support.output import console, note, write_error
from vecrollback.errors import JobCancelledError
from vecrollback.records import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = "the same command goes on where it stopped"


class ProgressDisplay:
    """A context that is itself the progress callback.

    The work calls it after every durable batch, which is where it can stop. At the first SIGINT or SIGTERM the command
    is interrupted and its work ends at that point. With `finish` the command goes on to its own end, and only work that
    reports progress stops: for a rollback, whose result must be told whatever becomes of the catch-up after it. The
    second signal ends it at once. `cure`: what to do then.
    """

    def __init__(self, *, finish: bool = False, as_json: bool = False, cure: str = AGAIN) -> None:
        self._finish, self._cure = finish, cure
        self._as_json = as_json
        self._signals = 0
        self._previous: dict[int, Any] = {}
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    @property
    def stopping(self) -> bool:
        """Whether a signal came."""
        return self._signals > 0

    def __call__(self, progress: Progress) -> None:
        self._show(progress)
        if self.stopping:
            raise self._stopped()

    def __enter__(self) -> ProgressDisplay:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        try:
            if kind is KeyboardInterrupt:
                raise self._stopped() from None
        finally:
            if self._bar is not None:
                self._bar.stop()
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._end()
        note("stopping at the end of this batch; once more to stop at once")
        if not self._finish:
            raise KeyboardInterrupt

    def _end(self) -> NoReturn:
        # Not by an exception: it could be raised inside this handler's first run and be lost there. Nor by sys.exit:
        # taking the interpreter down below a thread that is inside a model can crash it. What was acknowledged is
        # durable.
        error = self._stopped()
        write_error(error, as_json=self._as_json)
        os._exit(error.exit_code)

    def _stopped(self) -> JobCancelledError:
        return JobCancelledError("stopped", hint=self._cure)

    def _show(self, progress: Progress) -> None:
        if not sys.stderr.isatty():
            tell(f"{progress.phase}: {progress.documents:,} of {progress.total:,}")
            return
        if self._bar is None:
            self._bar = _new_bar()
            self._bar.start()
            self._task = self._bar.add_task(progress.phase, speed="")
        assert self._task is not None
        speed = render_jobs.pace(progress.tokens_per_second, progress.share_of_ceiling) if progress.chunks else ""
        self._bar.update(
            self._task,
            description=progress.phase,
            completed=progress.documents,
            total=progress.total,
            speed=speed,
        )


def _new_bar() -> Bar:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
    return Bar(*columns, TimeRemainingColumn(), console=console(stderr=True), transient=True)
