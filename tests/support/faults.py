"""One fault at one system call of a command: an error of the disk, or the end of the process. By strace, really."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.operations import ROOT
from tests.support.spawner import spawn

CALLS = (
    *("write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "copy_file_range", "openat", "mkdir", "rmdir"),
    *("rename", "renameat", "link", "linkat", "unlink", "unlinkat", "chmod", "utimensat"),
)
"""What changes a disk."""
READS = ("read", "pread64", "close", "mmap", "fstat", "newfstatat", "statx", "lseek", "fcntl", "flock", "getdents64")
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS")
KILL = "SIGKILL"
_SECONDS = 60
_HERE = re.compile(r"AT_FDCWD<[^>]*>, ")
_RELATIVE = re.compile(r'\("[^/"]')
_TRACEABLE = """
import ctypes, os, runpy, sys
ctypes.CDLL(None).prctl(0x59616D61, -1)  # PR_SET_PTRACER, any: strace is not its parent
os.write(2, b"ready\\n")
os.read(0, 2)
runpy.run_module("vecrollback", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True, slots=True)
class SystemFault:
    """The `number`-th time that a thread of the command makes this call. `kind`: SIGKILL, or an error of the disk."""

    call: str
    number: int
    kind: str

    def __str__(self) -> str:
        return f"{self.call}:{self.number}:{self.kind}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. `struck`: it came as far as the fault. `elsewhere`: more than the store's disk failed."""

    code: int
    output: str
    errors: str
    struck: bool
    elsewhere: bool = False


def dealt(chance: random.Random, places: Sequence[tuple[str, int]], kinds: Sequence[str]) -> Iterator[SystemFault]:
    """Faults without end, at no call twice before there was one at every call."""
    everywhere = list(places)
    while True:
        chance.shuffle(everywhere)
        yield from (SystemFault(call, number, chance.choice(kinds)) for call, number in everywhere)


def every(places: Sequence[tuple[str, int]], kinds: Sequence[str]) -> list[SystemFault]:
    """Each of these once at every call. What only reads can fail, but finds no disk full."""
    return [
        SystemFault(call, number, kind) for call, number in places for kind in kinds if kind == "EIO" or call in CALLS
    ]


def require_strace() -> None:
    """Skip where processes may not be traced."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")


def calls_made(root: Path, arguments: list[str], calls: Sequence[str] = CALLS) -> list[tuple[str, int]]:
    """Where a command asks for anything of the store's disk: the call, and its number among its kind in a thread."""
    trace = root.parent / "trace"
    done = run_traced(root, arguments, ["-y", "-e", f"trace={','.join(calls)}", "-o", str(trace)])
    assert done.returncode == 0, done.stderr
    counts: Counter[tuple[str, str]] = Counter()
    places = set()
    for line in _lines(trace):
        thread, _, rest = line.partition(" ")
        call = rest.strip().partition("(")[0]
        if call in calls:
            counts[thread, call] += 1
            if _is_in(root.parent, rest):
                places.add((call, counts[thread, call]))
    return sorted(places)


def _is_in(world: Path, call: str) -> bool:
    """Whether a traced call is about a file in this folder, or standard output."""
    named = _HERE.sub("", call)
    return str(world) in named or "(1<" in named or bool(_RELATIVE.search(named))


def strike(root: Path, arguments: list[str], fault: SystemFault) -> Outcome:
    """Run a command with one fault in it."""
    trace = root.parent / "trace"
    what = "signal=SIGKILL" if fault.kind == KILL else f"error={fault.kind}"
    inject = f"inject={fault.call}:{what}:when={fault.number}"
    options = ["-y", "-e", f"trace={fault.call}", "-e", inject, "-o", str(trace)]
    try:
        done = run_traced(root, arguments, options)
    except subprocess.TimeoutExpired:
        # By an event between two threads, which no disk refuses: the command waits for ever, and was killed.
        assert any("(INJECTED)" in line and "anon_inode" in line for line in _lines(trace)), f"{fault} hangs"
        return Outcome(-signal.SIGKILL, "", "", struck=False, elsewhere=True)
    if fault.kind == KILL:
        return Outcome(done.returncode, done.stdout, done.stderr, done.returncode == -signal.SIGKILL)
    # Two threads may make their calls of this number: one of the store's disk, and one of anything.
    injected = [_is_in(root.parent, line) for line in _lines(trace) if "(INJECTED)" in line]
    return Outcome(done.returncode, done.stdout, done.stderr, any(injected), elsewhere=not all(injected))


def _lines(trace: Path) -> list[str]:
    return trace.read_text(errors="replace").splitlines()


def run_traced(root: Path, arguments: list[str], options: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command under strace with these options.

    The command is a fork of a process that has imported everything: what is traced, and struck, is its own work.
    """
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "VECROLLBACK_ACTOR": "anna",
        "VECROLLBACK_STORE": str(root),
        "VECROLLBACK_TRUST": str(root),
    }
    command = spawn(["-c", _TRACEABLE, *arguments, "--json"], environment, cwd=root.parent)
    assert command.stdin
    assert command.stderr
    command.stderr.readline()
    with subprocess.Popen(
        ["strace", "-f", *options, "-p", str(command.pid)], stderr=subprocess.PIPE, text=True
    ) as strace:
        assert strace.stderr
        strace.stderr.readline()  # attached
        try:
            output, errors = command.communicate("go", timeout=_SECONDS)
        finally:
            command.kill()
            strace.communicate()
    return subprocess.CompletedProcess(arguments, command.returncode, output, errors)
