"""`vectors.npy`: an array of shape (rows, dimension)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.connectors.sidecar import WithTexts
from vecrollback.errors import UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers
from vecrollback.storage.reading import mapped_array

_CURE = "save the vectors as one array of shape (rows, dimension): numpy.save('vectors.npy', vectors)"


class NumpyConnector:
    """Blocks are read, not mapped: mapped pages would count as memory of this process until somebody needs it."""

    metric: Metric | None = None

    def __init__(self, path: Path) -> None:
        self.place, self._path = str(path), path
        self._array = _map(path)
        self.count, self.dimension = (int(size) for size in self._array.shape)
        self.stored = str(self._array.dtype)
        self.facts: dict[str, Json] = {}

    def block(self, first: int, stop: int) -> FloatArray:
        if not self._array.flags.c_contiguous:
            return np.asarray(self._array[first:stop], np.float32)
        kind = self._array.dtype
        at = getattr(self._array, "offset", 0) + first * self.dimension * kind.itemsize
        flat = np.fromfile(self._path, kind, (stop - first) * self.dimension, offset=at)
        return np.asarray(flat.reshape(-1, self.dimension), np.float32)

    def take(self, rows: Numbers) -> FloatArray:
        return np.asarray(self._array[rows], np.float32)

    def close(self) -> None:
        del self._array


def _map(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        array = mapped_array(path)
    except FileNotFoundError:
        raise UsageError(f"file {path} does not exist", hint="is the path right?") from None
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a NumPy array: {error}", hint=_CURE) from error
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.shape[1]:
        raise UsageError(f"{path} is an array of shape {array.shape} and type {array.dtype}", hint=_CURE)
    return array


class NumpyKind:
    """`vectors.npy`, or any other name after `numpy:`."""

    form, texts_beside = "vectors.npy", True

    def claims(self, place: str) -> bool:
        return ends_in(place, ".npy")

    def open(self, place: str, options: OpenOptions) -> Connector:
        return WithTexts(NumpyConnector(file_of(place, "numpy")), options.texts)
