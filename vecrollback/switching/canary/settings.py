"""How a canary goes on: the table `[canary]` of `vecrollback.toml`.

::

    [canary]
    shadow = 10              # percent of the live queries that the candidate answers too
    steps = [1, 5, 25]       # percent of the callers that it serves, step by step
    bake_seconds = 600       # at least so long at every step
    min_overlap = 0.5        # with the live pair's answers
    max_failures = 0.01      # of the queries it was asked
    margin = 0.02            # how much worse the outcomes of its callers may be
    alpha = 0.05             # how often the test may be wrong, however often somebody looks
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from vecrollback.errors import UsageError
from vecrollback.storage import config
from vecrollback.storage.config import Section

_SECTION = "canary"


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """What a canary does and is measured by. Shares of traffic in percent, the others between 0 and 1."""

    shadow: float = 10.0
    steps: tuple[float, ...] = (1.0, 5.0, 25.0)
    bake_seconds: float = 600.0
    min_overlap: float = 0.5
    max_failures: float = 0.01
    margin: float = 0.02
    alpha: float = 0.05


def load_policy(root: Path) -> CanarySettings:
    """What the file says, or the defaults. Raises UsageError naming what is wrong with it."""
    section = config.section(_SECTION, store=root)
    return read_policy(section) if section else CanarySettings()


def read_policy(section: Section) -> CanarySettings:
    """A policy from its table."""
    names = [f.name for f in fields(CanarySettings)]
    for key, value in section.values.items():
        if key not in names:
            raise UsageError(
                f"{section.where(key)}: [{_SECTION}] has no key {key!r}", hint=f"known keys: {', '.join(names)}"
            )
        holds, rule = _RULES[key]
        if not holds(value):
            raise UsageError(f"{section.where(key)}: {key} is {value!r}; it must be {rule}")
    return from_mapping(section.values)


def from_mapping(values: Mapping[str, Any]) -> CanarySettings:
    """The settings that were kept with a canary; keys that only an earlier version knew are left out."""
    known = {field.name: values[field.name] for field in fields(CanarySettings) if field.name in values}
    return CanarySettings(**known | ({"steps": tuple(values["steps"])} if "steps" in values else {}))


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _steps(value: Any) -> bool:
    percent = _number(0.001, 100)
    return isinstance(value, list) and all(map(percent, value)) and all(a < b for a, b in pairwise(value))


_PERCENT, _SHARE = (_number(0, 100), "a percentage, from 0 to 100"), (_number(0, 1), "a share, from 0 to 1")
_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "shadow": _PERCENT,
    "steps": (_steps, "a list of growing percentages, such as [1, 5, 25]"),
    "bake_seconds": (_number(0, 1e9), "a number of seconds"),
    "min_overlap": _SHARE,
    "max_failures": _SHARE,
    "margin": _SHARE,
    "alpha": (_number(1e-9, 0.5), "between 0 and 0.5"),
}
