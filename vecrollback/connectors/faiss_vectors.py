"""What an index file of FAISS gives back of its vectors.

FAISS believes sizes and offsets that a file says. What it reads into memory it refuses in words when they do not fit;
what it maps it follows, and a file that was cut short or changed ends the process. So a file too large to be read is
first gone through by a process of its own: `python -m vecrollback.connectors.faiss_vectors FILE`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from vecrollback.errors import UsageError
from vecrollback.records import Json, Metric
from vecrollback.records.arrays import FloatArray, Numbers

_MOST_READ = 1 << 30
"""Bytes of an index that is read into memory; a larger one is mapped, after another process went through it."""
_ROOM = 4 << 30
"""Bytes that the process that goes through a file may take beside what it maps."""
_LEAST_BYTES_A_SECOND = 10 << 20
_ROWS_AT_ONCE = 1 << 14
_MODULE = "vecrollback.connectors.faiss_vectors"

_CURE = "save the vectors as they were embedded with numpy.save, and examine that file"


class FaissConnector:
    """An index, mapped where it is large. Vectors that it keeps as codes come back decoded: `stored` names the codes.

    Rows are in the order in which they were added.
    """

    def __init__(self, path: Path, *, known: bool = False) -> None:
        """Open a file. `known`: another process went through all of it."""
        faiss = _library()

        self.place = f"faiss:{path}"
        self._whole = _read_index(path, known=known)  # owns what `_index` is a part of
        self._index, self.ids = _positions_first(self._whole, self.place)
        self.count, self.dimension = int(self._index.ntotal), int(self._index.d)
        metrics: dict[int, Metric] = {faiss.METRIC_INNER_PRODUCT: "dot", faiss.METRIC_L2: "l2"}
        self.metric = metrics.get(self._index.metric_type)
        self._keeps = _keeps(self._index)
        exact = isinstance(self._keeps, faiss.IndexFlat | faiss.IndexIVFFlat)
        self.stored = "float32" if exact else type(self._keeps).__name__
        self.facts: dict[str, Json] = {"index": type(self._index).__name__, "own_ids": self.ids is not None}
        # One vector now: an index that gives none back is refused when it is opened, not an hour later.
        if self.count:
            self._decode(np.zeros(1, np.int64))

    def block(self, first: int, stop: int) -> FloatArray:
        return self._decode(np.arange(first, stop, dtype=np.int64))

    def take(self, rows: Numbers) -> FloatArray:
        return self._decode(np.ascontiguousarray(rows, np.int64))

    def rounded(self, vectors: FloatArray) -> FloatArray:
        """What the index would give back of these vectors."""
        try:
            codes = self._keeps.sa_encode(np.ascontiguousarray(vectors, np.float32))
            return np.asarray(self._keeps.sa_decode(codes), np.float32)
        except RuntimeError:
            # This kind has no codes of its own: its vectors come back as they were added.
            return vectors

    def _decode(self, rows: Numbers) -> FloatArray:
        try:
            return np.asarray(self._index.reconstruct_batch(rows), np.float32)
        except RuntimeError as error:
            raise UsageError(
                f"{self.place}: an index of kind {type(self._index).__name__} does not give its vectors back",
                hint=_CURE,
            ) from error

    def close(self) -> None:
        self._index = self._keeps = self._whole = None


def _read_index(path: Path, *, known: bool) -> Any:
    faiss = _library()

    mapped = path.exists() and path.stat().st_size > _MOST_READ
    if mapped and not known:
        _go_through(path)
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_READ_ONLY | (faiss.IO_FLAG_MMAP_IFC if mapped else 0))
    except (RuntimeError, MemoryError) as error:  # a damaged size may ask for any amount
        reason = "there is no such file" if not path.exists() else f"FAISS cannot read it: {str(error)[-200:].strip()}"
        raise UsageError(f"{path}: {reason}", hint="name a file that faiss.write_index wrote") from error


def _positions_first(index: Any, place: str) -> tuple[Any, Numbers | None]:
    """The index below a map of ids, so that rows are positions; and the ids of the rows, where there was such a map."""
    faiss = _library()

    ids: Numbers | None = None
    if isinstance(index, faiss.IndexIDMap):
        ids = np.array(faiss.vector_to_array(index.id_map), np.int64)
        index = faiss.downcast_index(index.index)
    inverted = faiss.downcast_index(faiss.try_extract_index_ivf(index))
    if isinstance(inverted, faiss.IndexIVFFastScan):  # decoding one that was read from a file crashes FAISS 1.15
        raise UsageError(f"{place}: a fast-scan inverted file does not give its vectors back", hint=_CURE)
    if inverted is not None:
        try:
            inverted.make_direct_map(True)
        except RuntimeError as error:
            raise UsageError(f"{place}: the inverted file has ids of its own, not positions", hint=_CURE) from error
    return index, ids


def _keeps(index: Any) -> Any:
    """The layer that keeps the vectors."""
    faiss = _library()

    if isinstance(index, faiss.IndexRefine):
        return faiss.downcast_index(index.refine_index)
    return faiss.downcast_index(index.storage) if isinstance(index, faiss.IndexHNSW | faiss.IndexNSG) else index


def _library() -> Any:
    """FAISS, whose wrappers add what its stubs know nothing of."""
    import faiss

    return faiss


def _go_through(path: Path) -> None:
    """Have another process map a file and decode all its vectors. Raises UsageError when that one ends over it."""
    # The child imports from where this process does, also in a source tree that was never installed.
    paths = os.pathsep.join(one or str(Path.cwd()) for one in sys.path)
    command = [sys.executable, "-P", "-m", _MODULE, str(path)]
    seconds = 120 + path.stat().st_size / _LEAST_BYTES_A_SECOND
    hint = "name a file that faiss.write_index wrote"
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{path}: it could not be gone through in {seconds:.0f} s", hint=hint) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"the process that read it ended with {done.returncode}"])[-1]
        raise UsageError(f"{path}: FAISS cannot read it: {said[-200:]}", hint=hint)


def main() -> None:
    """Go through the file that the first argument names."""
    path = Path(sys.argv[1])
    with suppress(ImportError):
        import resource

        room = path.stat().st_size + _ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
    try:
        connector = FaissConnector(path, known=True)
        for first in range(0, connector.count, _ROWS_AT_ONCE):
            connector.block(first, min(first + _ROWS_AT_ONCE, connector.count))
    except UsageError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
