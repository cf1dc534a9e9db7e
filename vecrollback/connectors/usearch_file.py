"""`usearch:FILE`: an index that USearch saved, mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.connectors.sidecar import WithTexts
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_METRICS: dict[str, Metric] = {"Cos": "cosine", "IP": "dot", "L2sq": "l2"}
_STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8"}


class UsearchConnector:
    """The vectors in the order of their keys."""

    def __init__(self, path: Path) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            raise MissingDependencyError("usearch", "usearch") from error
        self.place = f"usearch:{path}"
        if not path.is_file():
            raise UsageError(f"{self.place}: there is no such file", hint="usearch:FILE")
        try:
            index: Any = Index.restore(str(path), view=True)
        except Exception as error:  # whatever its library raises
            raise UsageError(f"{self.place}: USearch cannot read it: {error}", hint="usearch:FILE") from error
        kind = index.dtype.name if index is not None else ""
        if kind not in _STORED or index.multi:
            raise UsageError(
                f"{self.place}: it is no index, of bits, or with several vectors for a key",
                hint="save the vectors as they were embedded with numpy.save, and examine that file",
            )
        self._index, self.stored, self.dimension = index, _STORED[kind], int(index.ndim)
        self.metric: Metric | None = _METRICS.get(self._index.metric_kind.name)
        self.keys = np.sort(np.asarray(self._index.keys[:], np.int64))
        self.count = len(self.keys)
        self.facts: dict[str, Json] = {}

    def block(self, first: int, stop: int) -> FloatArray:
        return self.take(np.arange(first, stop, dtype=np.int64))

    def take(self, rows: Numbers) -> FloatArray:
        if not len(rows):
            return np.empty((0, self.dimension), np.float32)
        # One call gives back each key once, whatever the order asked for.
        unique, places = np.unique(rows, return_inverse=True)
        vectors = self._index.get(self.keys[unique].astype(np.uint64), dtype="f32")
        return np.asarray(np.stack(list(vectors))[places], np.float32)

    def close(self) -> None:
        self._index.reset()


class UsearchKind:
    """`usearch:FILE`, or a file that ends in `.usearch`. `--texts` has a row for each vector, by ascending key."""

    form, texts_beside = "usearch:FILE", True

    def claims(self, place: str) -> bool:
        return ends_in(place, ".usearch")

    def open(self, place: str, options: OpenOptions) -> Connector:
        return WithTexts(UsearchConnector(file_of(place, "usearch")), options.texts)
