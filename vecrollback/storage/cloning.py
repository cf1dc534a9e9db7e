"""A second name for a file's bytes, at no cost where that is safe.

A hard link shares the file: whoever writes into it in place, as `save_pretrained` does when it saves over an older
model, changes both. So only a file that its owner never writes into may be linked. A reflink (btrfs, XFS, and what else
knows FICLONE) shares the blocks until one of the two is written to; where neither is possible the bytes are copied.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_FICLONE = 0x40049409
"""From linux/fs.h; other systems refuse it, and the bytes are copied."""


def clone_file(source: Path, target: Path, *, immutable: bool = False) -> None:
    """Give a new name to a file's bytes as they are now: by link, by reflink, or by copy.

    Args:
        source: The file; a symbolic link is followed.
        target: The new name; nothing may be there.
        immutable: Nobody ever writes into the file at `source`; it may be replaced or removed.
    """
    source = source.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    if immutable:
        # Another file system, or one that belongs to somebody else: then as any other file.
        with contextlib.suppress(OSError):
            target.hardlink_to(source)
            return
    if not _reflink(source, target):
        shutil.copyfile(source, target)


def clone_files(files: Mapping[str, Path], folder: Path, *, immutable: bool = False) -> None:
    """Lay out files in a new folder under the relative names they are given by; see `clone_file`."""
    folder.mkdir()
    for name, source in files.items():
        clone_file(source, folder / name, immutable=immutable)


def _reflink(source: Path, target: Path) -> bool:
    with source.open("rb") as readable, target.open("xb") as writable:
        try:
            fcntl.ioctl(writable.fileno(), _FICLONE, readable.fileno())
        except OSError:
            return os.fstat(readable.fileno()).st_size == 0
    return True
