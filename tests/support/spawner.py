"""Processes of this source tree that are up at once: one that has imported everything forks each of them.

A child is a process like any other, with its own id, memory, files and locks, and is killed or stopped like any other.
Only the second that importing takes is spent once for all of them. Where there is no safe fork, plain processes start.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
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
import warnings
from collections.abc import Iterator
from multiprocessing import popen_spawn_posix
from pathlib import Path
from typing import IO, Any
from unittest import mock
from uuid import uuid4

from tests.support.forked_command import ask
from tests.support.forked_popen import forking_what_is_started

ROOT = Path(__file__).parents[2]
_LONGEST = 1 << 20
_MOST_FILES, _HIGH = 32, 200
"""Files that a request may bring; the numbers from which on no process of the tests has any."""


class Child(subprocess.Popen[str]):
    """A forked process. The spawner is its parent, and says over `connection` how it ended."""

    def __init__(self, command: list[str], pid: int, connection: socket.socket, streams: list[IO[str] | None]) -> None:
        self.args, self.pid, self._connection = command, pid, connection
        self.returncode: int | None = None  # type: ignore[assignment]
        self.stdin, self.stdout, self.stderr = streams

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = os.waitstatus_to_exitcode(int(self._connection.recv(32)))
            self._connection.close()
        return self.returncode

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        said: dict[str, str] = {}

        def drain(name: str, stream: IO[str]) -> None:
            said[name] = stream.read()

        streams = [(name, stream) for name, stream in (("out", self.stdout), ("err", self.stderr)) if stream]
        threads = [threading.Thread(target=drain, args=each, daemon=True) for each in streams]
        for thread in threads:
            thread.start()
        if self.stdin:
            with contextlib.suppress(BrokenPipeError):  # it ended without reading
                self.stdin.write(input or "")
                self.stdin.close()
        for thread in threads:
            thread.join(_left(deadline))
            if thread.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        for _, stream in streams:
            stream.close()
        self.wait(_left(deadline))
        return said.get("out"), said.get("err")

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def __del__(self, *_: object) -> None:
        """Nothing: the spawner reaps it."""


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class Spawner:
    """The process that forks. It ends with the process that started it."""

    def __init__(self) -> None:
        self.address = f"vecrollback-tests-{uuid4().hex}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.spawner", self.address],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        self._process.stdout.readline()  # it listens

    def start(
        self, command: list[str], env: dict[str, str], cwd: Path, output: int | None, errors: int | None
    ) -> Child:
        """Start it; what it says goes to pipes, or to the given files."""
        stdin, stdin_end = os.pipe()
        stdout_end, stdout = (None, output) if output else os.pipe()
        stderr_end, stderr = (None, errors) if errors else os.pipe()
        pid, connection = ask(self.address, command, env, str(cwd), (stdin, stdout, stderr))
        given = [stdin, *([] if output else [stdout]), *([] if errors else [stderr])]
        for number in given:
            os.close(number)
        streams: list[IO[str] | None] = [os.fdopen(stdin_end, "w", encoding="utf-8")]
        streams += [number and os.fdopen(number, encoding="utf-8") for number in (stdout_end, stderr_end)]
        return Child(command, pid, connection, streams)


_spawner: Spawner | None = None
_starting = threading.Lock()


def spawner() -> Spawner:
    """The one of this process."""
    global _spawner
    with _starting:
        _spawner = _spawner or Spawner()
    return _spawner


def spawn(
    command: list[str],
    env: dict[str, str],
    *,
    cwd: Path = ROOT,
    output: IO[str] | None = None,
    errors: IO[str] | None = None,
) -> subprocess.Popen[str]:
    """A process of this source tree, `-m module arguments` or `-c code arguments`, that writes to pipes or files."""
    if sys.platform == "linux":
        numbers = [file.fileno() if file else None for file in (output, errors)]
        return spawner().start(command, env, cwd, *numbers)
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=output or subprocess.PIPE,
        stderr=errors or subprocess.PIPE,
        text=True,
    )


# -- what multiprocessing spawns ---------------------------------------------------------------------------------------


class _Spawned(popen_spawn_posix.Popen):
    """A process that multiprocessing thinks it has spawned. The spawner is its parent, and says how it ended."""

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        connection = _connections.get(self.pid)
        if connection is None:
            return super().poll(flag)
        if self.returncode is None and select.select([connection], [], [], 0 if flag == os.WNOHANG else None)[0]:
            self.returncode = os.waitstatus_to_exitcode(int(connection.recv(32)))
        return self.returncode


_connections: dict[int, socket.socket] = {}


@contextlib.contextmanager
def forking_what_is_spawned(address: str) -> Iterator[None]:
    """Let multiprocessing's spawned processes be forks of the spawner, which has nothing of their parent either."""

    def fork(_path: str, arguments: list[str], files: list[int]) -> int:
        command = [str(part) for part in arguments[arguments.index("-c") :]]
        pid, connection = ask(address, command, dict(os.environ), os.getcwd(), (0, 1, 2), sorted(set(files)))
        _connections[pid] = connection
        return pid

    with (
        mock.patch("multiprocessing.util.spawnv_passfds", fork),
        mock.patch.object(popen_spawn_posix, "Popen", _Spawned),
    ):
        yield


# -- in the process that forks ----------------------------------------------------------------------------------------


def _serve(listening: socket.socket) -> dict[str, Any] | None:
    """Fork for every request. Returns the request in the child, and None when whoever started this one is gone."""
    children: dict[int, socket.socket] = {}
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; this one ends with the tests
    while True:
        ready, _, _ = select.select([listening, ended, 0], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _reap(children)
        if listening in ready:
            connection = listening.accept()[0]
            request, given, _, _ = socket.recv_fds(connection, _LONGEST, _MOST_FILES)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                asked = dict(json.loads(request))
                high = [fcntl.fcntl(number, fcntl.F_DUPFD, _HIGH) for number in given]
                for number in (*given, ended, wake):
                    os.close(number)
                for each in (*children.values(), connection, listening):
                    each.close()
                for number, target in zip(high, (0, 1, 2, *asked["files"]), strict=True):
                    os.dup2(number, target)
                    os.close(number)
                return asked
            for number in given:
                os.close(number)
            children[pid] = connection
            with contextlib.suppress(OSError):  # whoever asked may be gone already
                connection.send(str(pid).encode())
        if 0 in ready:
            return None


def _reap(children: dict[int, socket.socket]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with children.pop(pid) as connection, contextlib.suppress(OSError):  # nobody may want to know any more
            connection.send(str(status).encode())


def _run(request: dict[str, Any], address: str) -> None:
    """Be the process that was asked for."""
    from vecrollback.storage import local

    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[:0] = [request["cwd"], *filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))]
    # These read the environment when they are imported, which was before.
    local.arm(os.environ.get("VECROLLBACK_FAULT"))
    if values := sys.modules.get("prometheus_client.values"):
        values.ValueClass = values.get_value_class()  # type: ignore[attr-defined]
    kind, what, *arguments = request["command"]
    if kind == "-m":
        sys.argv = [what, *arguments]
        with contextlib.ExitStack() as forks:
            if what == "vecrollback":
                forks.enter_context(forking_what_is_spawned(address))
                forks.enter_context(forking_what_is_started(lambda: address))
            runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *arguments]
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(what, "<string>", "exec"), main.__dict__)


_NEEDED = (
    "faiss",
    "httpx",
    "lance",
    "pyarrow.dataset",
    "scipy.stats",
    "tests.support.oracle",
    "uvicorn.supervisors",
    "vecrollback.cli.app",
    "vecrollback.pairs.snapshots",
    "vecrollback.reembedding.refresher",
    "vecrollback.server.app",
    "vecrollback.server.run",
    "vecrollback.serving.searcher",
    "vecrollback.store.parts",
)
"""What nearly every process of the tests imports. No more: a module that starts threads must not be forked."""


def _import_everything() -> None:
    # Lance warns of every fork: its threads would be gone in the child. None has been started when this one forks.
    warnings.filterwarnings("ignore", "lance is not fork-safe")
    for name in _NEEDED:
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            importlib.import_module(name)


def _main(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(f"\0{address}")
        listening.listen(100)
        _import_everything()
        gc.freeze()  # or the first search for garbage in every child would copy all the memory that it shares
        print(flush=True)
        request = _serve(listening)
    if request is None:
        return
    code = 0
    try:
        _run(request, address)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    _leave(code)


def _leave(code: int) -> None:
    """End as Python ends, but for freeing what was imported, which takes longer than most commands."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _main(sys.argv[1])
