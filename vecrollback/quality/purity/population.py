"""What is audited: vectors row by row, each with the text that it should have been made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vecrollback.records.arrays import FloatArray, Numbers, Times

_BLOCK = 8_192


class Population(Protocol):
    """Vectors to audit, row by row, with the texts they should have been made from. Never wholly in memory."""

    @property
    def count(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        """First row and vectors (n, dimension), float32, of each block; every row once, in order. May run again."""
        ...

    def vectors(self, rows: Numbers) -> FloatArray:
        """Vectors of these rows, in the order asked for."""
        ...

    def texts(self, rows: Numbers) -> list[str | None]:
        """Texts of these rows. None: there is none, so the row cannot be examined."""
        ...

    def ids(self, rows: Numbers) -> list[str]: ...

    def batches(self) -> Numbers | None:
        """Ingest batch of each row; None when nothing says."""
        ...

    def times(self) -> Times | None:
        """Unix seconds of each row, NaN where unknown; None when nothing says."""
        ...


class Arrays:
    """A population that is an array, in memory or mapped from a file, and a list of texts."""

    def __init__(
        self,
        vectors: NDArray[np.floating],
        texts: Sequence[str | None],
        *,
        ids: Sequence[str] | None = None,
        batches: Numbers | None = None,
        times: Times | None = None,
    ) -> None:
        self._vectors, self._texts, self._ids = vectors, texts, ids
        self._batches, self._times = batches, times

    @property
    def count(self) -> int:
        return len(self._vectors)

    @property
    def dimension(self) -> int:
        return int(self._vectors.shape[1])

    def blocks(self) -> Iterator[tuple[int, FloatArray]]:
        for first in range(0, self.count, _BLOCK):
            yield first, np.asarray(self._vectors[first : first + _BLOCK], dtype=np.float32)

    def vectors(self, rows: Numbers) -> FloatArray:
        return np.asarray(self._vectors[rows], dtype=np.float32)

    def texts(self, rows: Numbers) -> list[str | None]:
        return [self._texts[row] for row in rows.tolist()]

    def ids(self, rows: Numbers) -> list[str]:
        return [str(row) if self._ids is None else self._ids[row] for row in rows.tolist()]

    def batches(self) -> Numbers | None:
        return self._batches

    def times(self) -> Times | None:
        return self._times
