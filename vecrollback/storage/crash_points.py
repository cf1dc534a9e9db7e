"""Named points at which a crash test may end the process.

Every multi-step write passes its points by name. In production this is one comparison with None; with
`VECROLLBACK_FAULT=name[:n]` in the environment the process sends itself SIGKILL when it reaches that point for the
n-th time. A real kill is the only honest crash: no `finally`, no `atexit`, no flush.
"""

from __future__ import annotations

import os
import signal

_armed: str | None = None
_left = 0


def arm(setting: str | None) -> None:
    """Arm `name` or `name:n` (the n-th time, from 1); None disarms."""
    global _armed, _left
    name, _, count = (setting or "").partition(":")
    _armed, _left = name or None, int(count or 1)


def reach(name: str) -> None:
    """Pass the fault point `name`."""
    global _left
    if _armed is None or _armed != name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("VECROLLBACK_FAULT"))
