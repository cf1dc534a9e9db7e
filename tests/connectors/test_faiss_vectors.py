"""A file of FAISS that is too large to be read is mapped, once a process of its own lived through it."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from vecrollback.connectors import faiss_vectors
from vecrollback.connectors.faiss_vectors import FaissConnector
from vecrollback.errors import UsageError

_ROWS, _DIMENSION = 400, 16


@pytest.fixture(autouse=True)
def map_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_vectors, "_MOST_READ", 0)
    # The process of its own takes its limit from the module, which it imports anew: below it a file is read there.
    monkeypatch.setattr(faiss_vectors, "_MODULE", "tests.support.mapped_faiss")


def vectors() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((_ROWS, _DIMENSION)).astype(np.float32)


def written(path: Path, kind: str) -> Path:
    index = faiss.index_factory(_DIMENSION, kind)
    index.train(vectors())
    index.add(vectors())
    faiss.write_index(index, str(path))
    return path


@pytest.mark.parametrize("kind", ["Flat", "HNSW8,Flat"])
def test_a_mapped_file_gives_back_its_vectors(tmp_path: Path, kind: str) -> None:
    connector = FaissConnector(written(tmp_path / "index.faiss", kind))
    assert connector.count == _ROWS
    assert np.array_equal(connector.block(0, _ROWS), vectors())


@pytest.mark.parametrize(
    "share", [pytest.param(0.2, marks=pytest.mark.slow), 0.6, pytest.param(0.99, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["Flat", "HNSW8,SQ8"])
def test_a_mapped_file_that_was_cut_short_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    """Mapped here, it would end this process."""
    path = written(tmp_path / "index.faiss", kind)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UsageError, match="FAISS cannot read it"):
        FaissConnector(path)


@pytest.mark.usefixtures("plain_processes")
def test_a_mapped_file_with_a_changed_size_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "index.faiss", "Flat")
    data = bytearray(path.read_bytes())
    at = data.index((_ROWS).to_bytes(8, "little"))
    data[at : at + 8] = (_ROWS << 20).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(UsageError, match="FAISS cannot read it"):
        FaissConnector(path)
