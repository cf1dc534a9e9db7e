"""What this process is doing at the moment, in words: for whoever waits for it and would else hear nothing.

Whatever takes seconds says so by `step`; whoever shows progress asks `current_step`. Nobody has to be handed anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

_under_way: dict[int, str] = {}
_numbers = itertools.count()


@contextmanager
def step(sentence: str) -> Iterator[None]:
    """Something that takes a while, for as long as it does. Steps may lie in one another, and beside each other.

    Args:
        sentence: What is done, "reading the log": in small letters, without a full stop and without anybody's text.

    Example:
        >>> with step("reading the log"):
        ...     current_step()
        'reading the log'
        >>> current_step()
        ''
    """
    number = next(_numbers)
    _under_way[number] = sentence
    try:
        yield
    finally:
        del _under_way[number]


def current_step() -> str:
    """The newest step that is under way, in whichever thread; "" when none is."""
    while _under_way:
        try:
            return next(reversed(_under_way.values()))
        except (RuntimeError, StopIteration):  # a thread began or ended one at this very moment
            continue
    return ""
