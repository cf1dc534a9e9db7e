"""What a process asked the kernel for, in order: strace, read for writes, renames and syncs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.operations import ROOT

_CALLS = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,pwrite64,writev,pwritev,openat,copy_file_range"
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_PATH = re.compile(r"^\d+<([^>]*)>")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Call:
    """One call. It began at line `begun` of the trace and ended at line `ended`."""

    begun: int
    ended: int
    name: str
    path: str
    other: str
    text: str


class Trace:
    """Calls in the order in which they ended. Paths are relative to the store."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def between(self, first: str, last: str) -> Trace:
        """The calls between two marks that the process wrote to its output."""
        marks = {call.text: n for n, call in enumerate(self.calls) if call.name == "mark"}
        return Trace(self.calls[marks[first] : marks[last]])

    def synced(self, path: str) -> list[int]:
        """When a sync of this file began."""
        return [call.begun for call in self.calls if call.name in ("fsync", "fdatasync") and call.path == path]

    def writes(self, path: str) -> list[int]:
        return [call.ended for call in self.calls if "write" in call.name and call.path == path]

    def written_after(self, moment: int, path: str) -> list[int]:
        return [at for at in self.writes(path) if at > moment]

    def files_made(self, *folders: str) -> set[str]:
        """Final names of files that were written or named in these folders, as far as a version of them needs them.

        Lance's transaction files settle conflicts between writers, its hint makes finding the newest version faster.
        """
        names = {call.path for call in self.calls if "write" in call.name} | {call.other for call in self._naming()}
        return {
            name
            for name in names - {call.path for call in self._naming()}
            if name.startswith(folders) and "/_transactions/" not in name and not name.endswith("version_hint.json")
        }

    def synced_whole(self, path: str) -> list[int]:
        """When syncs began of a file, under any name it had, after the last write to it."""
        names = [path]
        for call in reversed(self._naming()):
            if call.other in names:
                names.append(call.path)
        written = max((at for name in names for at in self.writes(name)), default=0)
        return sorted(at for name in names for at in self.synced(name) if at > written)

    def named(self, path: str) -> int:
        """When the file got its name; 0 when that was before."""
        made = [call.ended for call in self.calls if call.name == "create" and call.path == path]
        return max([0, *made, *(call.ended for call in self._naming() if call.other == path)])

    def _naming(self) -> list[Call]:
        return [call for call in self.calls if call.name.startswith(("rename", "link"))]


def traced(code: str, root: Path) -> Trace:
    """Run code under strace; skips the test where that is impossible."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    output = root.parent / "strace"
    command = ["strace", "-f", "-y", "-s", "64", "-e", f"trace={_CALLS}", "-o", str(output), sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240)
    if "ptrace" in done.stderr and "not permitted" in done.stderr.lower():
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return Trace(list(_calls(output.read_text(errors="replace").splitlines(), str(root.resolve()))))


def _calls(lines: list[str], root: str) -> Iterator[Call]:
    waiting: dict[tuple[str, str], tuple[int, str]] = {}
    for number, line in enumerate(lines, start=1):
        if resumed := _RESUMED.match(line):
            pid, name, rest = resumed.groups()
            begun, head = waiting.pop((pid, name), (number, ""))
            arguments = head + rest
        elif started := _LINE.match(line):
            pid, name, arguments = started.groups()
            begun = number
            if arguments.endswith("<unfinished ...>"):
                waiting[pid, name] = (number, arguments.removesuffix("<unfinished ...>"))
                continue
        else:
            continue
        if "= -1 " not in arguments:
            yield from _call(begun, number, name, arguments, root)


def _call(begun: int, ended: int, name: str, arguments: str, root: str) -> Iterator[Call]:
    def inside(path: str) -> str:
        return path.removeprefix(root + "/") if path != root else "."

    quoted = _QUOTED.findall(arguments)
    if name == "openat":
        if "O_CREAT" in arguments and quoted:
            yield Call(begun, ended, "create", inside(quoted[0]), "", "")
    elif name.startswith(("rename", "link")):
        yield Call(begun, ended, name, inside(quoted[0]), inside(quoted[1]), "")
    elif name == "copy_file_range":
        target = arguments.split(",")[2].strip()
        yield Call(begun, ended, "write", inside(_PATH.findall(target)[0]), "", "")
    elif found := _PATH.match(arguments):
        if name == "write" and arguments.startswith("1<") and quoted:
            yield Call(begun, ended, "mark", "", "", quoted[0].removesuffix("\\n"))
        yield Call(begun, ended, name, inside(found[1]), "", "")
