"""`vectors.npz`, `vectors.safetensors`, `vectors.pt`: several arrays by name, one of them the vectors.

No file is unpickled: NumPy is told so, safetensors has no pickle, and torch loads weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.connectors.base import Connector, OpenOptions, ends_in, guess_vector
from vecrollback.connectors.listed import ListedRows
from vecrollback.connectors.sidecar import WithTexts
from vecrollback.errors import UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_FORMS = ("npz", "safetensors", "pt")
_ONE = "vectors"
"""What the only array of a file without names is called."""


class TensorVectors:
    """An array of a file, in memory."""

    metric: Metric | None = None

    def __init__(self, place: str, array: np.ndarray[Any, Any], stored: str, field: str) -> None:
        self.place, self._array, self.stored = place, array, stored
        self.count, self.dimension = (int(size) for size in array.shape)
        self.facts: dict[str, Json] = {"vector_field": field}

    def block(self, first: int, stop: int) -> FloatArray:
        return np.asarray(self._array[first:stop], np.float32)

    def take(self, rows: Numbers) -> FloatArray:
        return np.asarray(self._array[rows], np.float32)

    def close(self) -> None:
        """Nothing is open."""


def _npz(path: Path) -> Mapping[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        if isinstance(archive, np.ndarray):
            return {_ONE: archive}
        arrays = {}
        for name in archive.files:
            try:
                arrays[name] = archive[name]
            except ValueError:  # objects are pickled: the one array is left out
                continue
        return arrays


def _safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict


def _torch(path: Path) -> Mapping[str, Any]:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, torch.Tensor):
        return {_ONE: content}
    return content if isinstance(content, Mapping) else {}


_READERS = {"npz": _npz, "safetensors": _safetensors, "pt": _torch}


def _arrays(form: str, path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, str], dict[str, list[Any]]]:
    """By name the arrays, how each is kept, and lists of plain values."""
    if not path.is_file():
        raise UsageError(f"file {path} does not exist", hint="is the path right?")
    try:
        content = _READERS[form](path)
    except Exception as error:  # whatever its library raises
        raise UsageError(
            f"{path} cannot be read without running what is in it: {type(error).__name__}: {error}"[:400],
            hint="save the vectors as one array: numpy.save('vectors.npy', vectors)",
        ) from error
    arrays, stored, lists = {}, {}, {}
    for name, value in content.items():
        if isinstance(value, list):
            lists[name] = value
            continue
        kind = getattr(value, "dtype", None)
        if kind is None:
            continue
        stored[name] = str(kind).removeprefix("torch.")
        arrays[name] = value if isinstance(value, np.ndarray) else value.detach().float().numpy()
    return arrays, stored, lists


class TensorKind:
    """A file of one of these endings, or any file after `npz:`, `safetensors:` or `pt:`.

    What stands in other arrays or lists of as many values is a field of the rows: `ids`, `texts`.
    """

    form, texts_beside = "vectors.npz", True

    def claims(self, place: str) -> bool:
        return ends_in(place, ".npz", ".safetensors", ".pt", ".pth")

    def open(self, place: str, options: OpenOptions) -> Connector:
        prefix, _, rest = place.partition(":")
        form = prefix if prefix in _FORMS else Path(place).suffix.lower()[1:].replace("pth", "pt")
        path = Path(rest if prefix in _FORMS else place).expanduser()
        arrays, stored, lists = _arrays(form, path)
        usable = [
            name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind in "fiu" and array.size
        ]
        field = guess_vector(usable, [*arrays, *lists], options.vector, str(path))
        file = TensorVectors(str(path), arrays[field], stored[field], field)
        if options.texts is not None:
            return WithTexts(file, options.texts)
        columns = {name: array.tolist() for name, array in arrays.items() if array.ndim == 1} | lists
        fields = {_singular(name): column for name, column in columns.items() if len(column) == file.count}
        if not fields:
            return WithTexts(file, None)
        records = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
        vectors = list(np.asarray(arrays[field], np.float32))
        return ListedRows(str(path), records, vectors, stored=stored[field], facts=file.facts)


def _singular(name: str) -> str:
    """`ids` and `texts` are columns of `id` and `text`."""
    return name[:-1] if name in ("ids", "texts", "documents", "contents", "chunks", "doc_ids") else name
