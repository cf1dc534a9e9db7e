"""`annoy:FILE#DIMENSION`: an index that Annoy saved, mapped. The file says neither its dimension nor its metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.connectors.base import Connector, OpenOptions, ends_in, file_of
from vecrollback.connectors.sidecar import WithTexts
from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_METRICS: dict[str, Metric | None] = {"angular": "cosine", "euclidean": "l2", "dot": "dot", "manhattan": None}
_FORM = "annoy:FILE#DIMENSION, or annoy:FILE#DIMENSION:METRIC with one of " + ", ".join(_METRICS)


class AnnoyConnector:
    """The vectors in the order of their numbers. One that was never added is zero."""

    stored = "float32"

    def __init__(self, path: Path, dimension: int, metric: str) -> None:
        try:
            import annoy
        except ImportError as error:
            raise MissingDependencyError("annoy", "annoy") from error
        self.place, self.dimension, self.metric = f"annoy:{path}", dimension, _METRICS[metric]
        if not path.is_file():
            raise UsageError(f"{self.place}: there is no such file", hint=_FORM)
        library: Any = annoy
        self._index = library.AnnoyIndex(dimension, metric)
        try:
            self._index.load(str(path))
        except OSError as error:
            raise UsageError(f"{self.place}: Annoy cannot read it: {error}", hint=f"is it {_FORM}?") from error
        self.count = int(self._index.get_n_items())
        self.facts: dict[str, Json] = {"trees": int(self._index.get_n_trees())}

    def block(self, first: int, stop: int) -> FloatArray:
        return self.take(np.arange(first, stop, dtype=np.int64))

    def take(self, rows: Numbers) -> FloatArray:
        vectors = [self._index.get_item_vector(row) for row in rows.tolist()]
        return np.asarray(vectors, np.float32).reshape(len(rows), self.dimension)

    def close(self) -> None:
        self._index.unload()


class AnnoyKind:
    """`annoy:FILE#DIMENSION`, of the angular metric unless `:METRIC` follows."""

    form, texts_beside = "annoy:FILE#DIMENSION", True

    def claims(self, place: str) -> bool:
        return ends_in(place.partition("#")[0], ".ann")

    def open(self, place: str, options: OpenOptions) -> Connector:
        where, _, shape = place.partition("#")
        dimension, _, metric = shape.partition(":")
        metric = metric or "angular"
        if not dimension.isdecimal() or not int(dimension) or metric not in _METRICS:
            raise UsageError(f"{place}: it does not say how long the vectors are", hint=_FORM)
        return WithTexts(AnnoyConnector(file_of(where, "annoy"), int(dimension), metric), options.texts)
