"""A real fork of this process, with a limit on time: what hangs is killed and told."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_TOLD_SECONDS = 4.0
"""When a child that hangs writes where it does."""


class Child:
    """A forked process that does one thing and sends what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            faulthandler.dump_traceback_later(_TOLD_SECONDS, exit=False)
            try:
                answer = True, work()
            except BaseException as error:
                traceback.print_exc()
                answer = False, error
            with contextlib.suppress(BaseException), os.fdopen(writing, "wb") as stream:
                stream.write(pickle.dumps(answer))
            os._exit(0)
        os.close(writing)
        self._reading = reading

    def result(self, seconds: float = 30.0) -> Any:
        """What it returned; raises what it raised, and TimeoutError when it hangs."""
        try:
            ready, _, _ = select.select([self._reading], [], [], seconds)
            if not ready:
                raise TimeoutError(f"the child hangs: nothing came within {seconds:g} s")
            with os.fdopen(os.dup(self._reading), "rb") as stream:
                sound, answer = pickle.loads(stream.read())
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self._reading)
        if not sound:
            raise answer
        return answer


def in_child(work: Callable[[], T], seconds: float = 30.0) -> T:
    """Do it in a child of this process, and wait for what it returns."""
    answer: T = Child(work).result(seconds)
    return answer
