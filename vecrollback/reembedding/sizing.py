"""How many texts go to the engine at once."""

from __future__ import annotations

from collections.abc import Iterable

from vecrollback.reembedding.tasks import Task

_SECONDS = 10.0
_FIRST_TEXTS, _MOST_TEXTS = 256, 8_192
_FIRST_CHARACTERS, _LEAST_CHARACTERS, _MOST_CHARACTERS = 128 << 10, 16 << 10, 8 << 20
_GROWTH = 4.0


class Sizing:
    """Sizes units so that a crash loses about ten seconds of a worker, whatever the model."""

    def __init__(self) -> None:
        self._texts = float(_FIRST_TEXTS)
        self._characters = float(_FIRST_CHARACTERS)

    def first(self, lengths: Iterable[int], share: float) -> int:
        """How many texts of these lengths make the next unit; at least one.

        `share`: characters that are left for each worker. Towards the end units get smaller, so that none of the
        workers is still busy for long when the others have nothing to do.
        """
        most = min(self._characters, max(share, _LEAST_CHARACTERS))
        count = characters = 0
        for length in lengths:
            characters += length
            if count and (count >= self._texts or characters > most):
                break
            count += 1
        return count

    def learn(self, task: Task) -> None:
        """Take in how long a unit took."""
        characters = sum(map(len, task.texts))
        if not characters:
            return
        factor = _SECONDS / max(task.seconds, 1e-3)
        grown = min(_GROWTH * self._characters, _MOST_CHARACTERS)
        self._characters = min(max(factor * characters, _LEAST_CHARACTERS), grown)
        grown = min(_GROWTH * self._texts, _MOST_TEXTS)
        self._texts = min(max(factor * len(task.groups), _FIRST_TEXTS), grown)
