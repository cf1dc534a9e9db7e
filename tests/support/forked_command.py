"""A command that is a fork of the spawner, as fast as a shell's own: `python -SE forked_command.py ADDRESS MODULE ...`.

It has this process's files, directory and environment; signals go on to it; its exit code is this one's.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence


def ask(
    address: str,
    command: list[str],
    env: dict[str, str],
    cwd: str,
    streams: tuple[int, int, int],
    files: Sequence[int] = (),
) -> tuple[int, socket.socket]:
    """Have a process started; its id, and the connection over which its status comes when it has ended.

    `streams` become its input, output and errors; `files` have the same numbers there as here.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(f"\0{address}")
    request = json.dumps({"command": command, "env": env, "cwd": cwd, "files": list(files)}).encode()
    connection.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", (*streams, *files)))])
    return int(connection.recv(32)), connection


def _main(address: str, *command: str) -> int:
    pid, connection = ask(address, ["-m", *command], dict(os.environ), os.getcwd(), (0, 1, 2))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    code = os.waitstatus_to_exitcode(int(connection.recv(32)))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
