"""How far a check or a bridge is, told to whoever waits, and the way in which that one stops it.

Both examine things and go on where one cannot be examined. What the callback raises is not of that kind: it ends the
work, so those who catch errors on the way ask `stop` first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from vecrollback.records import Progress, ProgressCallback
from vecrollback.records.arrays import FloatArray

_TELL_SECONDS = 0.25
"""Between two reports from within one stage: pieces of a model that serves queries take ten milliseconds each."""

_TEXTS, _REMOTE_TEXTS = 32, 512
"""Texts that are embedded at once, so that a cancel waits for no more. A service answers many requests side by side."""


class Stages:
    """The stages of one piece of work. Without a callback it says nothing to nobody.

    `stop`: what the callback raised.
    """

    def __init__(self, work: str, progress: ProgressCallback | None = None) -> None:
        self._work, self._progress, self._start = work, progress, time.monotonic()
        self._stage, self._done, self._total, self._told = "", 0, 0, 0.0
        self.stop: Exception | None = None

    def enter(self, stage: str, total: int = 0) -> None:
        """Begin a stage; of so many texts, where it embeds some."""
        self._stage, self._done, self._total = stage, 0, total
        self._tell()

    def did(self, texts: Sequence[str] = ()) -> None:
        """Part of the stage is done: these texts were embedded."""
        self._done += len(texts)
        if time.monotonic() - self._told > _TELL_SECONDS:
            self._tell()

    def embed(self, remote: bool, embed: Callable[[Sequence[str]], FloatArray], texts: Sequence[str]) -> FloatArray:
        """Vectors of texts, shape (n, dimension), by `embed`, so many at once that somebody can stop it in between."""
        size = _REMOTE_TEXTS if remote else _TEXTS
        if self._progress is None or len(texts) <= size:
            return embed(texts)
        parts = []
        for first in range(0, len(texts), size):
            parts.append(embed(texts[first : first + size]))
            self.did()
        return np.concatenate(parts)

    def _tell(self) -> None:
        if self._progress is None:
            return
        self._told = time.monotonic()
        elapsed, phase = self._told - self._start, f"{self._work}: {self._stage}"
        try:
            self._progress(Progress("", phase, self._done, max(self._total, self._done), 0, 0, self._done, elapsed))
        except Exception as error:
            self.stop = error
            raise
