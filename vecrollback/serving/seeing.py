"""What was seen of a trial, in sums of a fixed size: from many threads, until somebody takes them."""

from __future__ import annotations

import math
import threading
from collections import defaultdict

from vecrollback.records import Observation

_TENTHS, _SCORES, _MILLISECONDS = 10, 40, 48

Step = tuple[int, int]
"""Number of the trial, and its step."""


class Seen:
    """Gathers values by trial, step and measure. Bounded by the number of measures, whatever comes in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: defaultdict[Step, dict[str, Observation]] = defaultdict(dict)

    def note(self, step: Step, **values: float) -> None:
        """Add one value to each measure; what is not finite is left out."""
        with self._lock:
            held = self._held[step]
            for measure, value in values.items():
                if math.isfinite(value):
                    one = Observation(1, value, value * value, value, value, {_bin(measure, value): 1})
                    held[measure] = held.get(measure, Observation()) + one

    def take(self) -> dict[Step, dict[str, Observation]]:
        """Everything gathered; from now on it is the caller's."""
        with self._lock:
            held, self._held = self._held, defaultdict(dict)
            return dict(held)

    def give_back(self, taken: dict[Step, dict[str, Observation]]) -> None:
        """Put back what could not be written, for the next time."""
        with self._lock:
            for step, measures in taken.items():
                held = self._held[step]
                for measure, seen in measures.items():
                    held[measure] = held.get(measure, Observation()) + seen


def _bin(measure: str, value: float) -> str:
    """The bucket of a value: tenths of a share, steps of the square root of two for milliseconds, 0.05 for a score."""
    if measure.endswith("_ms"):
        return str(max(0, min(_MILLISECONDS - 1, math.floor(2 * math.log2(max(value, 1e-9))) + 12)))
    if measure.endswith("_score"):
        return str(max(0, min(_SCORES - 1, math.floor((value + 1) * 20))))
    return str(max(0, min(_TENTHS - 1, math.floor(value * _TENTHS))))


def quantile_ms(seen: Observation, share: float) -> float | None:
    """Milliseconds within which this share lies, to a bucket's width (the middle of it); None without any."""
    counted, wanted = 0, share * seen.count
    for at, count in sorted((int(at), count) for at, count in seen.bins.items()):
        counted += count
        if counted >= wanted and count:
            return float(2 ** ((at - 12 + 0.5) / 2))
    return None
