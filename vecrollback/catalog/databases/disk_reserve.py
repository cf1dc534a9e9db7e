"""Room on the disk that is kept for a switch: a full disk must not stand between an operator and a rollback."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from vecrollback.storage.local import written

NAME = "reserve"
_BYTES = 1 << 20
"""A move and the searchers' acknowledgements write a few pages each; the log of SQLite may need new ones for them."""


class DiskReserve:
    """A file that holds room, beside the catalog."""

    def __init__(self, root: Path) -> None:
        self._path = root / NAME

    def keep(self) -> None:
        """Take the room, where there is plenty. Costs a look at the file when it is held already."""
        if self._path.exists():
            return
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self._path.parent).free > 4 * _BYTES:
                with written(self._path) as temporary:
                    temporary.write_bytes(os.urandom(_BYTES))  # a file system that compresses would keep no zeros

    def give(self) -> bool:
        """Free the room when the disk is full; whether there is more of it now."""
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self._path.parent).free < _BYTES:
                self._path.unlink()
                return True
        return False
