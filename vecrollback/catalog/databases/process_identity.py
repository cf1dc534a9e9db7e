"""Which process did something, and whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process of a host. `begun` tells it from a later one of the same number; empty where that cannot be known."""

    host: str
    pid: int
    begun: str

    @property
    def here(self) -> bool:
        """Whether it is, or was, one of this host's."""
        return self.host == socket.gethostname()

    @property
    def alive(self) -> bool:
        """Whether it runs now; for a process of this host only."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return _begun(self.pid) == self.begun


def this_process() -> ProcessIdentity:
    return ProcessIdentity(socket.gethostname(), os.getpid(), _begun(os.getpid()))


def _begun(pid: int) -> str:
    """When a process began: clock ticks since this boot, and which boot; a dead one's parent may not have noticed."""
    try:
        # the name before the last ")" may hold spaces and parentheses
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{_boot()}/{fields[19]}"


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
