"""One fault at one system call of a command: an error of the disk, or the end of the process. By strace, really."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.operations import ROOT

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "link", "unlink", "ftruncate", "mkdir")
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS")
_SECONDS = 60


@dataclass(frozen=True, slots=True)
class SystemFault:
    """The `number`-th time that a thread of the command makes this call. `error`: "" kills the process instead."""

    call: str
    number: int
    error: str

    def __str__(self) -> str:
        return f"{self.call}:{self.number}:{self.error or 'SIGKILL'}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. `struck`: it came as far as the fault."""

    code: int
    output: str
    errors: str
    struck: bool


def drawn(chance: random.Random, counts: dict[str, int]) -> SystemFault:
    """A fault at one of the calls that an operation makes, each as likely as the next."""
    call, number = chance.choice([(call, number) for call, most in counts.items() for number in range(1, most + 1)])
    return SystemFault(call, number, chance.choice([*ERRORS, *[""] * len(ERRORS)]))


def require_strace() -> None:
    """Skip where processes may not be traced."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")


def count_calls(root: Path, arguments: list[str]) -> dict[str, int]:
    """How often one thread of a command makes each call, at most."""
    trace = root.parent / "trace"
    done = run_traced(root, arguments, ["-e", f"trace={','.join(CALLS)}", "-o", str(trace)])
    assert done.returncode == 0, done.stderr
    counts: dict[tuple[str, str], int] = {}
    for line in _lines(trace):
        thread, _, rest = line.partition(" ")
        call = rest.strip().partition("(")[0]
        if call in CALLS:
            counts[thread, call] = counts.get((thread, call), 0) + 1
    return {call: max((n for (_, one), n in counts.items() if one == call), default=0) for call in CALLS}


def strike(root: Path, arguments: list[str], fault: SystemFault) -> Outcome:
    """Run a command with one fault in it."""
    trace = root.parent / "trace"
    what = f"error={fault.error}" if fault.error else "signal=SIGKILL"
    inject = f"inject={fault.call}:{what}:when={fault.number}"
    options = ["-y", "-e", f"trace={fault.call}", "-e", inject, "-o", str(trace)]
    try:
        done = run_traced(root, arguments, options)
    except subprocess.TimeoutExpired:
        # By an event between two threads, which no disk refuses: the command waits for ever, and was killed.
        assert any("(INJECTED)" in line and "anon_inode" in line for line in _lines(trace)), f"{fault} hangs"
        return Outcome(-signal.SIGKILL, "", "", struck=False)
    text = "\n".join(_lines(trace))
    return Outcome(done.returncode, done.stdout, done.stderr, "(INJECTED)" in text or "killed by SIGKILL" in text)


def _lines(trace: Path) -> list[str]:
    return trace.read_text(errors="replace").splitlines()


def run_traced(root: Path, arguments: list[str], options: list[str]) -> subprocess.CompletedProcess[str]:
    # A filter in the kernel is quicker, but lets no signal be injected (strace 6.1).
    quick = [] if any("signal=" in one for one in options) else ["--seccomp-bpf"]
    command = ["strace", "-f", "-q", *quick, *options, sys.executable, "-m", "vecrollback", *arguments, "--json"]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "VECROLLBACK_ACTOR": "anna",
        "VECROLLBACK_STORE": str(root),
        "VECROLLBACK_TRUST": str(root),
    }
    process = subprocess.Popen(
        command,
        cwd=root.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)
