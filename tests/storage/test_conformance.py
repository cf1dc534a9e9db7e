"""Both places for a store's files keep the same promises: a local disk, and object storage.

Covers storage.artifacts, storage.base, storage.lance_table, storage.local, storage.s3.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.s3_server import ObjectServer
from vecrollback.storage import FileStore, LocalFileStore, file_store_at
from vecrollback.storage.artifacts import Artifacts, LocalArtifacts
from vecrollback.storage.artifacts.cache import Cache
from vecrollback.storage.artifacts.s3 import S3Artifacts
from vecrollback.storage.lance_table import LanceTable
from vecrollback.storage.s3 import S3FileStore
from vecrollback.testing import StorageConformance


def flipped(file_store: FileStore, name: str) -> None:
    """Change one byte in the middle of a file, as a failing disk or a careless hand would."""
    data = bytearray(file_store.read(name))
    data[len(data) // 2] ^= 0x40
    if isinstance(file_store, S3FileStore):
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(data)
            file_store.write(name, Path(file.name))
    else:
        (Path(file_store.uri) / name).write_bytes(data)


class _Fixtures:
    @pytest.fixture
    def table(self, file_store: FileStore) -> LanceTable:
        return LanceTable(file_store.inside("tables/t.lance"))

    @pytest.fixture
    def flip(self, table: LanceTable) -> Callable[[str], None]:
        return lambda name: flipped(table.file_store, name)


class TestLocal(_Fixtures, StorageConformance):
    @pytest.fixture
    def file_store(self, tmp_path: Path) -> FileStore:
        return LocalFileStore(tmp_path / "store")

    @pytest.fixture
    def artifacts(self, tmp_path: Path) -> Artifacts:
        return LocalArtifacts(tmp_path / "artifacts")

    @pytest.fixture
    def damaged(self, artifacts: LocalArtifacts) -> Callable[[str], None]:
        def damage(name: str) -> None:
            path = artifacts.path(name)
            place = path if path.is_file() else path / "deep" / "data"
            flipped(LocalFileStore(place.parent), place.name)

        return damage


class TestObjects(_Fixtures, StorageConformance):
    @pytest.fixture
    def file_store(self, objects: ObjectServer) -> FileStore:
        return file_store_at(objects.uri())

    @pytest.fixture
    def artifacts(self, file_store: S3FileStore, tmp_path: Path) -> Artifacts:
        return S3Artifacts(file_store, Cache(tmp_path / "cache", 1 << 30), tmp_path)

    @pytest.fixture
    def damaged(self, file_store: S3FileStore) -> Callable[[str], None]:
        return lambda name: flipped(file_store, name if file_store.head(name) else f"{name}.tar")
