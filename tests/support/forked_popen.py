"""What the product starts with `subprocess` (helpers, searchers of drills, rescuers, workers): forks of the spawner.

As with its other children, only the second of importing is saved. What a process has of its parent is what it is given:
its environment, its directory, and the files that are named.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

from tests.support.forked_command import ask

PLAIN = subprocess.Popen
"""What starts a process of its own, whatever runs in it."""


def _forkable(command: Any) -> list[str] | None:
    """`-m MODULE ARGUMENTS` of a command that runs a module of the product with this Python; None for any other."""
    if not isinstance(command, list | tuple):
        return None
    python, *words = map(str, command)
    if words[:1] == ["-P"]:  # the directory that it leaves out of the path holds the same product
        del words[0]
    return words if python == sys.executable and words[:1] == ["-m"] and words[1].startswith("vecrollback.") else None


class _Forked(subprocess.Popen[Any]):
    """A process that `subprocess` thinks it has started. The spawner is its parent, and says how it ended."""

    address: Callable[[], str]
    _connection: socket.socket | None = None

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Sequence[int], *rest: Any
    ) -> None:
        cwd, env, _, _, _, *pipes = rest[:11]
        command = None if executable or preexec_fn else _forkable(args)
        if command is None:
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, *rest)  # type: ignore[misc]
            return
        stdin, _, _, stdout, _, stderr = pipes
        streams = tuple(number if given == -1 else given for number, given in enumerate((stdin, stdout, stderr)))
        environment, place = dict(os.environ if env is None else env), os.fspath(cwd or os.getcwd())
        self.pid, self._connection = ask(type(self).address(), command, environment, place, streams, sorted(pass_fds))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, *arguments: Any, **options: Any) -> int | None:
        if self._connection is None:
            return super()._internal_poll(*arguments, **options)  # type: ignore[misc,no-any-return]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._wait(0)
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self._connection is None:
            return super()._wait(timeout)  # type: ignore[misc,no-any-return]
        if not select.select([self._connection], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        # Left to be read again: several threads may wait for the same process.
        self.returncode = os.waitstatus_to_exitcode(int(self._connection.recv(32, socket.MSG_PEEK)))
        return self.returncode


@contextlib.contextmanager
def forking_what_is_started(address: Callable[[], str]) -> Iterator[None]:
    """Let modules of the product that are started as processes be forks of the spawner at this address."""
    forked = type("Popen", (_Forked,), {"address": staticmethod(address)})
    with mock.patch.object(subprocess, "Popen", forked):
        yield
