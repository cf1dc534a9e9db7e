"""Who holds the lock of a file, for the person who has to end or wake that process.

Linux lists locks in /proc/locks by device and inode. Elsewhere, or where another host holds it, nobody can say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LOCKS = Path("/proc/locks")


def holders(path: Path, *, at: int | None = None) -> str:
    """Who else holds a lock on a file: "the stopped process 4711 (vecrollback)"; "" where nobody can say.

    `at`: only locks to write of this byte.
    """
    return " and ".join(_described(pid) for pid in sorted(set(_pids(path, at)) - {os.getpid()}))


def _pids(path: Path, at: int | None) -> Iterator[int]:
    with suppress(OSError, ValueError):
        inode = str(path.stat().st_ino)
        for line in _LOCKS.read_text().splitlines():
            fields = line.split()
            # A line with an arrow is of somebody who waits.
            if "->" in fields or len(fields) < 6 or fields[5].rpartition(":")[2] != inode:
                continue
            if at is not None and not (fields[3] == "WRITE" and _covers(fields[6:8], at)):
                continue
            pid = int(fields[4])
            if pid > 0 and _has_open(pid, path):
                yield pid


def _covers(bounds: list[str], at: int) -> bool:
    first, last = bounds
    return int(first) <= at and (last == "EOF" or at <= int(last))


def _has_open(pid: int, path: Path) -> bool:
    """Whether the process has this very file open: inodes of two file systems may be equal. True where it is hidden."""
    try:
        return any(one.samefile(path) for one in Path(f"/proc/{pid}/fd").iterdir() if one.exists())
    except PermissionError:
        return True
    except OSError:
        return False


def _described(pid: int) -> str:
    name, state = "", ""
    with suppress(OSError, ValueError, IndexError):
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        name, state = before.partition("(")[2], after.split()[0]
    process = "the stopped process" if state in ("T", "t") else "process"
    return f"{process} {pid}{f' ({name})' if name else ''}"
