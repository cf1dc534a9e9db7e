"""Questions to one process of shards, and keeping that process alive."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from vecrollback.indexes.sharded.wire import Message, connected, receive, send
from vecrollback.records import Json

PATIENCE_SECONDS = 60.0
"""How long an answer may take before its process counts as hung."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection, and the process at its other end."""

    connection: Connection
    process: subprocess.Popen[bytes]


class Call:
    """A question that was sent, on a connection that is this call's alone."""

    def __init__(self, asked: ShardProcess, line: _Line) -> None:
        self._asked, self._line = asked, line
        self._open = True

    def answer(self) -> Message:
        """Wait for the answer. Raises EOFError or OSError; then the process is gone or is made to go."""
        self._open = False
        try:
            reply = receive(self._line.connection)
        except (EOFError, OSError):
            self._asked.lost(self._line)
            raise
        self._asked.free(self._line)
        return reply

    def drop(self) -> None:
        """Ask no more for the answer. Idempotent."""
        if self._open:
            self._open = False
            self._line.connection.close()


class ShardProcess:
    """One process, started when first asked and again when it is gone. Any number of threads may ask at once."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._idle: list[_Line] = []

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def ask(self, question: Message) -> Message:
        """The answer to a question. Raises EOFError or OSError when there is none."""
        return self.call(question).answer()

    def call(self, question: Message) -> Call:
        """Send a question. Raises OSError when nobody takes it."""
        line = self._line()
        try:
            send(line.connection, question)
        except OSError:
            self.lost(line)
            raise
        return Call(self, line)

    def tell(self, said: Mapping[str, Json]) -> None:
        """Say something to a process that runs; one that does not need not hear it."""
        if self.pid is not None:
            with suppress(EOFError, OSError):
                self.ask(Message(said))

    def free(self, line: _Line) -> None:
        """Keep a connection for the next question."""
        with self._lock:
            if line.process is self._process:
                self._idle.append(line)
                return
        line.connection.close()

    def lost(self, line: _Line) -> None:
        """A connection failed: its process is dead, dying or hung, and the next question is for a new one."""
        line.connection.close()
        with self._lock:
            if line.process is self._process:
                self._bury()

    def stop(self) -> None:
        """End the process. Idempotent; the next question starts it again."""
        with self._lock:
            self._bury()

    def _line(self) -> _Line:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._bury()
                self._start()
            if self._idle:
                return self._idle.pop()
            assert self._folder is not None and self._process is not None
            end = socket.socket(socket.AF_UNIX)
            try:
                end.settimeout(self._patience)
                end.connect(str(self._folder / "shard"))
                end.settimeout(None)
                return _Line(connected(end, self._patience), self._process)
            except OSError:
                end.close()
                self._bury()
                raise

    def _start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vecrollback-"))  # mode 0700: nobody else may connect
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._folder / "shard"))
            listener.listen(128)
            descriptor = listener.fileno()
            command = [sys.executable, "-m", "vecrollback.indexes.sharded", "answer", str(descriptor)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[descriptor], env=environment)

    def _bury(self) -> None:
        for line in self._idle:
            line.connection.close()
        self._idle.clear()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
