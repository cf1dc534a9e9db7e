"""What root makes in somebody else's folder belongs to that somebody.

A store belongs to the user of a service. One `sudo vecrollback compact` would leave files in it that this user may not
write, or not even read. So whatever root makes there is given to the owner of the folder it lies in: when it is
synced, and when the store is closed, for what libraries made by themselves.

Only what lies in that folder under one name alone is given away, and no link is followed: else the owner of a folder
could have root give them a file of somewhere else.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def give_to_owner(path: Path) -> None:
    """Give a file or folder that root owns to the owner of the folder it lies in. Does nothing for other users."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError), _opened(path.parent) as folder:
            _give(path.name, folder)


def give_tree_to_owner(root: Path) -> None:
    """The same for everything below a folder that somebody else than root owns."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):
        if root.stat().st_uid == 0:
            return
        for _, folders, names, folder in os.fwalk(root):  # it follows no links either
            for name in [*folders, *names]:
                with contextlib.suppress(OSError):
                    _give(name, folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _give(name: str, folder: int) -> None:
    owner = os.fstat(folder)
    if owner.st_uid == 0:
        return
    entry = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(entry)
        single = stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
        if status.st_uid == 0 and single:
            os.fchown(entry, owner.st_uid, owner.st_gid)
    finally:
        os.close(entry)
