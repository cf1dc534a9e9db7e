"""What a disk may hold after the power went: a command's calls are recorded once, and cut off anywhere.

Kept is what was synced: the bytes of a file by a sync of the file, its name by a sync of the folder. Of everything else
any part may be there: writes without those before them, renames and unlinks in any order, names without bytes. That is
more than journals of real file systems lose: what holds here holds there.
"""

from __future__ import annotations

import codecs
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,ftruncate,lseek,fsync,fdatasync,sync_file_range,fallocate,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,sendfile,copy_file_range"
)
NOT_KEPT = ("-shm",)
"""Shared memory of SQLite, which nobody reads after a loss."""
_LINE = re.compile(rb"^(\d+) +(\w+)\((.*)\) += (-?\d+)(<.*>)?( .*)?$")
_UNFINISHED = re.compile(rb"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(rb"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_DESCRIPTOR = re.compile(rb"^(\d+)<([^>]*)>")
_AT = re.compile(rb"(?:AT_FDCWD|\d+)<([^>]*)>")
_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class _File:
    """Bytes: what is synced, and every write since."""

    synced: bytes = b""
    writes: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut at this size

    def content(self, keep: Callable[[], bool]) -> bytes:
        data = bytearray(self.synced)
        for at, written in self.writes:
            if not keep():
                continue
            if written is None:
                data = data[:at].ljust(at, b"\0")
            else:
                if len(data) < at:
                    data.extend(bytes(at - len(data)))
                data[at : at + len(written)] = written
        return bytes(data)

    def sync(self) -> None:
        self.synced, self.writes = self.content(lambda: True), []


@dataclass(frozen=True, slots=True)
class _Naming:
    """A change of names: those that go, and the file or folder (None) that one gets."""

    gone: tuple[str, ...] = ()
    name: str = ""
    file: _File | None = None
    is_folder: bool = False

    @property
    def folders(self) -> set[str]:
        return {str(PurePosixPath(name).parent) for name in (*self.gone, self.name) if name}


class Disk:
    """A folder as it is in memory and as it is on the disk.

    `named`: where it was when the calls were recorded, which may be elsewhere than `root`.
    """

    def __init__(self, root: Path, *, named: Path | None = None) -> None:
        self._top = str((named or root).resolve())
        self._names: dict[str, _File | None] = {".": None}  # None: a folder
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            self._names[name] = None if path.is_dir() else _File(path.read_bytes())
        self._synced_names = dict(self._names)
        self._pending: list[_Naming] = []
        self._places: dict[int, tuple[str, int]] = {}  # descriptor -> file and place in it
        self.changes = 0  # writes, syncs and changes of names so far

    # -- what a process does ------------------------------------------------------------------------------------------

    def apply(self, call: str, arguments: bytes, result: int) -> None:
        """Take in one call that succeeded."""
        if call in ("openat", "open", "creat"):
            self._open(arguments, result)
        elif call in ("write", "pwrite64", "writev", "pwritev"):
            self._write(call, arguments, result)
        elif call == "ftruncate":
            if name := self._of_descriptor(arguments):
                self.changes += 1
                self._file(name).writes.append((int(arguments.rsplit(b",", 1)[1]), None))
        elif call == "lseek":
            if name := self._of_descriptor(arguments):
                self._places[self._number(arguments)] = (name, result)
        elif call in ("fsync", "fdatasync"):
            if name := self._of_descriptor(arguments):
                self._sync(name)
        elif call.startswith(("rename", "link")):
            self._give_name(call, arguments)
        elif call in ("unlink", "unlinkat", "rmdir"):
            [name] = self._paths(arguments, 1)
            self._name(_Naming(gone=(name,))) if name else None
        elif call.startswith("mkdir"):
            [name] = self._paths(arguments, 1)
            self._name(_Naming(name=name, is_folder=True)) if name else None
        elif any(self._inside(found.decode()) for found in _AT.findall(arguments)):
            raise AssertionError(f"a call that is not recorded changes the store: {call}({arguments[:200]!r})")

    def _open(self, arguments: bytes, descriptor: int) -> None:
        [name] = self._paths(arguments, 1)
        self._places.pop(descriptor, None)
        if not name or self._names.get(name, self) is None:
            return
        if name not in self._names:
            if b"O_CREAT" not in arguments:
                return
            self._name(_Naming(name=name, file=_File()))
        elif b"O_TRUNC" in arguments:
            self._file(name).writes.append((0, None))
        at = len(self._file(name).content(lambda: True)) if b"O_APPEND" in arguments else 0
        self._places[descriptor] = (name, at)

    def _write(self, call: str, arguments: bytes, count: int) -> None:
        name = self._of_descriptor(arguments)
        if not name:
            return
        data = b"".join(codecs.escape_decode(one)[0] for one in _STRING.findall(arguments))[:count]
        assert len(data) == count, (call, name, len(data), count)
        number = self._number(arguments)
        if call.startswith("p"):
            at = int(arguments.rsplit(b",", 1)[1])
        else:
            at = self._places.get(number, (name, 0))[1]
            self._places[number] = (name, at + count)
        self.changes += 1
        self._file(name).writes.append((at, data))

    def _sync(self, name: str) -> None:
        self.changes += 1
        if self._names.get(name) is not None:
            self._file(name).sync()
            return
        for naming in [one for one in self._pending if name in one.folders]:
            self._change(self._synced_names, naming)
            self._pending.remove(naming)

    def _give_name(self, call: str, arguments: bytes) -> None:
        old, new = self._paths(arguments, 2)
        if not new:
            return
        assert old in self._names, f"{call} of a file from elsewhere: {old or arguments[:200]!r}"
        below = [name for name in self._names if name.startswith(f"{old}/")]
        file = self._names[old]
        if call.startswith("link"):
            self._name(_Naming(name=new, file=file))
            return
        self._name(_Naming(gone=(old,), name=new, file=file, is_folder=file is None))
        for name in below:  # they move with their folder, and were synced or not as before
            for names in (self._names, self._synced_names):
                if name in names:
                    names[new + name[len(old) :]] = names.pop(name)

    def _name(self, naming: _Naming) -> None:
        self.changes += 1
        self._change(self._names, naming)
        self._pending.append(naming)

    @staticmethod
    def _change(names: dict[str, _File | None], naming: _Naming) -> None:
        for name in naming.gone:
            names.pop(name, None)
        if naming.name:
            names[naming.name] = None if naming.is_folder else naming.file

    # -- after the loss -----------------------------------------------------------------------------------------------

    def lay_out(self, target: Path, chance: random.Random | None = None) -> None:
        """Write what is there after a loss; without `chance`: what is there when nothing is lost."""
        names = dict(self._names if chance is None else self._synced_names)
        keeps: Callable[[], bool] = lambda: True  # noqa: E731
        if chance is not None:
            # Nothing of what was not synced, half of it, or nearly all: each finds something else.
            share = chance.choice([0.0, 0.5, 0.9])
            keeps = lambda: chance.random() < share  # noqa: E731
            for naming in self._pending:
                if keeps():
                    self._change(names, naming)
        target.mkdir(parents=True)
        for name, file in sorted(names.items()):
            if file is None:
                if (target / name).parent.is_dir():
                    (target / name).mkdir(exist_ok=True)
            elif (target / name).parent.is_dir() and not name.endswith(NOT_KEPT):
                (target / name).write_bytes(file.content(keeps))

    # -- names --------------------------------------------------------------------------------------------------------

    def _file(self, name: str) -> _File:
        file = self._names[name]
        assert file is not None, name
        return file

    def _number(self, arguments: bytes) -> int:
        match = _DESCRIPTOR.match(arguments)
        assert match
        return int(match[1])

    def _of_descriptor(self, arguments: bytes) -> str:
        match = _DESCRIPTOR.match(arguments)
        name = self._inside(match[2].decode()) if match else ""
        return name if name in self._names else ""

    def _inside(self, path: str) -> str:
        if path == self._top:
            return "."
        return path.removeprefix(f"{self._top}/") if path.startswith(f"{self._top}/") else ""

    def _paths(self, arguments: bytes, count: int) -> list[str]:
        """The names of the first quoted paths, "" for those outside."""
        folders = [one.decode() for one in _AT.findall(re.sub(rb'"(?:[^"\\]|\\.)*"', b"", arguments))]
        quoted = [codecs.escape_decode(one)[0].decode() for one in _STRING.findall(arguments)[:count]]
        found = []
        for number, path in enumerate(quoted):
            base = folders[min(number, len(folders) - 1)] if folders else os.getcwd()
            found.append(self._inside(os.path.normpath(os.path.join(base, path))))
        return found


def calls(trace: Path) -> Iterator[tuple[str, bytes, int]]:
    """Calls that succeeded, in the order in which they ended: name, arguments, result."""
    begun: dict[bytes, bytes] = {}
    for line in trace.read_bytes().splitlines():
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished[1]] = unfinished[3]
            continue
        joined = line
        if resumed := _RESUMED.match(line):
            joined = resumed[1] + b" " + resumed[2] + b"(" + begun.pop(resumed[1], b"") + resumed[3]
        if (whole := _LINE.match(joined)) and int(whole[4]) >= 0:
            yield whole[2].decode(), whole[3], int(whole[4])


def assert_recorded(disk: Disk, root: Path, target: Path) -> None:
    """Whatever the calls made is what lies there: nothing that changes the store was missed."""
    disk.lay_out(target)
    kept = [p.relative_to(root) for p in root.rglob("*") if p.is_file() and not p.name.endswith(NOT_KEPT)]
    made = [p.relative_to(target) for p in target.rglob("*") if p.is_file()]
    assert sorted(kept) == sorted(made), set(kept) ^ set(made)
    differing = [name for name in kept if (root / name).read_bytes() != (target / name).read_bytes()]
    assert not differing, differing
    shutil.rmtree(target)


def record(root: Path, trace: Path, run: Callable[[list[str]], object]) -> list[tuple[str, bytes, int]]:
    """The calls of a command on a store. `run`: runs it under strace with these options."""
    disk = Disk(root)
    run(["-y", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(trace)])
    recorded = list(calls(trace))
    trace.unlink()
    for call in recorded:
        disk.apply(*call)
    assert_recorded(disk, root, root.parent / "whole")
    return recorded


def lose(
    before: Path, root: Path, recorded: list[tuple[str, bytes, int]], target: Path, chance: random.Random, *, late: bool
) -> None:
    """Lay out at `target` what is left of `root`, which was as `before`, when the power goes at some call.

    `late`: after the last one, when everything was acknowledged.
    """
    disk = Disk(before, named=root)
    ends = [number for number, call in enumerate(recorded) if _moves(disk, call)]
    disk = Disk(before, named=root)
    for call in recorded[: len(recorded) if late else chance.choice(ends) + 1]:
        disk.apply(*call)
    disk.lay_out(target, chance)


def _moves(disk: Disk, call: tuple[str, bytes, int]) -> bool:
    before = disk.changes
    disk.apply(*call)
    return disk.changes > before
