"""Processes of this source tree that are up at once: one that has imported everything forks each of them.

A child is a process like any other, with its own id, memory, files and locks, and is killed or stopped like any other.
Only the second that importing takes is spent once for all of them. Where there is no safe fork, plain processes start.
"""

from __future__ import annotations

import array
import atexit
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
_LONGEST = 1 << 20


class Child(subprocess.Popen[str]):
    """A forked process. The spawner is its parent, and writes its status to a pipe when it ended."""

    def __init__(self, command: list[str], pid: int, status: int, streams: list[IO[str] | None]) -> None:
        self.args, self.pid, self._status = command, pid, status
        self.returncode: int | None = None  # type: ignore[assignment]
        self.stdin, self.stdout, self.stderr = streams

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._read_status()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._read_status()
        assert self.returncode is not None
        return self.returncode

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        said: dict[int, str] = {}

        def drain(number: int, stream: IO[str]) -> None:
            said[number] = stream.read()

        streams = [(number, stream) for number, stream in enumerate((self.stdout, self.stderr)) if stream]
        threads = [threading.Thread(target=drain, args=each, daemon=True) for each in streams]
        for thread in threads:
            thread.start()
        if self.stdin:
            try:
                self.stdin.write(input or "")
                self.stdin.close()
            except BrokenPipeError:
                pass  # it ended without reading
        for thread in threads:
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        for _, stream in streams:
            stream.close()
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return (said.get(0) if self.stdout else None), (said.get(1) if self.stderr else None)

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _read_status(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(int(os.read(self._status, 32)))
        os.close(self._status)

    def __del__(self, *_: object) -> None:
        """Nothing: the spawner reaps it."""


class Spawner:
    """The process that forks. Ends with the process that started it."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with other:
            command = [sys.executable, "-m", "tests.support.spawner", str(other.fileno())]
            environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            fds = [other.fileno()]
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=fds, **quiet)
        atexit.register(self.close)

    def start(self, command: list[str], environment: dict[str, str], output: Path | None) -> Child:
        """Start `-m module arguments` or `-c code arguments`; what it says goes to pipes, or to a file."""
        stdin, stdin_end = os.pipe()
        stderr_end, stderr = os.pipe()
        status_end, status = os.pipe()
        if output:
            stdout_end, stdout = None, os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        else:
            stdout_end, stdout = os.pipe()
        request = json.dumps({"command": command, "environment": environment}).encode()
        given = [stdin, stdout, stderr, status]
        with self._lock:
            self._socket.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", given))])
            pid = int(self._socket.recv(32))
        for number in given:
            os.close(number)
        streams: list[IO[str] | None] = [
            os.fdopen(stdin_end, "w", encoding="utf-8"),
            None if stdout_end is None else os.fdopen(stdout_end, encoding="utf-8"),
            os.fdopen(stderr_end, encoding="utf-8"),
        ]
        return Child(command, pid, status_end, streams)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_spawner: Spawner | None = None
_starting = threading.Lock()


def spawn(command: list[str], environment: dict[str, str], output: Path | None = None) -> subprocess.Popen[str]:
    """A process of this source tree: `-m module arguments` or `-c code arguments`."""
    global _spawner
    if sys.platform != "linux":
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output.open("w") if output else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with _starting:
        _spawner = _spawner or Spawner()
    return _spawner.start(command, environment, output)


# -- in the process that forks ----------------------------------------------------------------------------------------


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork for every request. Returns the request in the child, and None when nobody will ask again."""
    children: dict[int, int] = {}
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([requests, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _reap(children)
        if requests not in ready:
            continue
        request, given, _, _ = socket.recv_fds(requests, _LONGEST, 4)
        if not request:
            return None
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, target in zip(given, (0, 1, 2), strict=False):
                os.dup2(number, target)
            for number in (*given, *children.values(), ended, wake):
                os.close(number)
            requests.close()
            return dict(json.loads(request))
        for number in given[:3]:
            os.close(number)
        children[pid] = given[3]
        requests.send(str(pid).encode())


def _reap(children: dict[int, int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        number = children.pop(pid)
        os.write(number, str(status).encode())
        os.close(number)


def _run(request: dict[str, Any]) -> None:
    """Be the process that was asked for."""
    from vecrollback.storage import local

    os.environ.clear()
    os.environ.update(request["environment"])
    local.arm(os.environ.get("VECROLLBACK_FAULT"))  # read at import, which was before
    kind, what, *arguments = request["command"]
    if kind == "-m":
        sys.argv = [what, *arguments]
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *arguments]
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(what, "<string>", "exec"), main.__dict__)


def _import_everything() -> None:
    """What nearly every process of the tests needs. No more: a module that starts threads must not be forked."""
    import faiss  # noqa: F401
    import lance  # noqa: F401

    import vecrollback.store.store  # noqa: F401


if __name__ == "__main__":
    _import_everything()
    given = _serve(socket.socket(fileno=int(sys.argv[1])))
    if given is not None:
        _run(given)
