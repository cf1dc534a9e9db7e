"""What rehearsals need for a while: an alias of their own, and room for copies of the store, which hold its texts.

Whoever rehearses holds a lock with all others who do; a process that is killed lets go of it. So what is there while
nobody holds it was left behind.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vecrollback.catalog.aliases import SCRATCH
from vecrollback.errors import LockHeldError
from vecrollback.pairs.resources import Resources

_LOCK = "drill"
_PREFIX = "drill-"


@contextmanager
def rehearsing(resources: Resources) -> Iterator[None]:
    """Keep what rehearsals make from being taken for left behind; what others left goes first."""
    forget_rehearsals(resources)
    with resources.catalog.lock(_LOCK, shared=True):
        yield


@contextmanager
def room(resources: Resources) -> Iterator[Path]:
    """An empty folder on the store's own file system, where files can be linked; it goes with the block."""
    resources.cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=resources.cache))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def forget_rehearsals(resources: Resources) -> None:
    """Remove the aliases and copies of rehearsals that were killed. Does nothing while somebody rehearses."""
    try:
        with resources.catalog.lock(_LOCK, timeout=0.0):
            for name in resources.catalog.aliases.all():
                if name.startswith(SCRATCH):
                    resources.catalog.aliases.drop(name)
            for folder in resources.cache.glob(f"{_PREFIX}*"):
                shutil.rmtree(folder, ignore_errors=True)
    except LockHeldError:
        return
