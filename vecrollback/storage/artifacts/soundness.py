"""Which artefacts on this machine's disk are what their names say: each is compared once, and again when it changed.

An index is mapped, not read: over a changed byte it would give another score, or end the process. To compare one takes
half a second for each gigabyte, so the next process on this machine does not do it again: what was compared is
remembered by size, time and number of each file. What a disk changes without a trace in these, a check finds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path


class Soundness:
    """What was compared. `digest`: of a file or a folder.

    `memory`: a folder with one small file for each artefact. It may be missing or not writable.
    """

    def __init__(self, memory: Path | None, digest: Callable[[Path], str]) -> None:
        self._memory, self._digest = memory, digest
        self._stamps: dict[str, str] = {}
        self._damaged: dict[str, str] = {}

    def is_sound(self, name: str, path: Path) -> bool:
        """Whether what lies at `path` has the digest that its name begins with. Raises FileNotFoundError."""
        stamp = _stamp(path)
        if stamp in (self._stamps.get(name), self._remembered(name)):
            return True
        if stamp == self._damaged.get(name):
            return False
        if not name.startswith(self._digest(path)):
            self._damaged[name] = stamp
            return False
        self._remember(name, stamp)
        return True

    def forget(self, name: str) -> None:
        """Nothing of this name is there any more."""
        self._stamps.pop(name, None)
        self._damaged.pop(name, None)
        if self._memory is not None:
            with contextlib.suppress(OSError):
                (self._memory / name).unlink(missing_ok=True)

    def _remembered(self, name: str) -> str:
        if self._memory is not None:
            with contextlib.suppress(OSError, ValueError):
                return (self._memory / name).read_text(encoding="utf-8")
        return ""

    def _remember(self, name: str, stamp: str) -> None:
        self._stamps[name] = stamp
        if self._memory is not None:
            with contextlib.suppress(OSError):  # whoever may only read the store compares again
                self._memory.mkdir(parents=True, exist_ok=True)
                fresh = self._memory / f".{name}.{os.getpid()}.{threading.get_ident()}"
                fresh.write_text(stamp, encoding="utf-8")
                fresh.replace(self._memory / name)


def _stamp(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    status = [(file.relative_to(path).as_posix(), file.stat()) for file in files]
    return "\n".join(f"{name} {one.st_size} {one.st_mtime_ns} {one.st_ino}" for name, one in status)
