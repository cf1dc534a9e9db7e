"""What is installed where this process runs: looked for once, and again when a place of `sys.path` was changed.

To look through three hundred distributions takes 50 ms, and many strings that are opened ask what else there is.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path

_Places = tuple[tuple[str, int], ...]


def entry_points_of(group: str) -> Mapping[str, EntryPoint]:
    """Name -> entry point, of all distributions that register something in this group.

    Example:
        >>> sorted(entry_points_of("a group of nobody"))
        []
    """
    return _entry_points(group, _places())


def distribution_of(module: str) -> str | None:
    """`name version` of the installed distribution that holds a module; None when it was not installed.

    Example:
        >>> distribution_of("numpy.linalg").startswith("numpy ")
        True
        >>> distribution_of("os.path") is None
        True
    """
    return _distribution(module.partition(".")[0], _places())


@lru_cache(maxsize=32)
def _entry_points(group: str, _: _Places) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


@lru_cache(maxsize=64)
def _distribution(package: str, _: _Places) -> str | None:
    for one in distributions():
        if _holds(one, package):
            return f"{one.metadata['Name']} {one.version}"
    return None


def _holds(installed: Distribution, package: str) -> bool:
    """What `importlib.metadata.packages_distributions` says, which takes twenty times as long for it says all names."""
    if names := installed.read_text("top_level.txt"):
        return package in names.split()
    if record := installed.read_text("RECORD"):
        lines = f"\n{record}"
        files = re.findall(rf"\n({re.escape(package)}\.[^/,]*)", lines)
        return f"\n{package}/" in lines or any(inspect.getmodulename(file) == package for file in files)
    return any(file.parts[0] == package for file in installed.files or ())


def _places() -> _Places:
    return tuple((place, _changed_at(place)) for place in sys.path)


def _changed_at(place: str) -> int:
    """When something was put into a folder or taken out, in nanoseconds since 1970; 0 where there is none."""
    try:
        return Path(place).stat().st_mtime_ns
    except OSError:
        return 0
