"""Both places for a store's files keep the same promises: a local disk, and object storage."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.s3_server import ObjectServer
from vecrollback.storage import LocalMedium, Medium, ObjectMedium, medium_at
from vecrollback.storage.artifacts import Artifacts, Cache, LocalArtifacts, ObjectArtifacts
from vecrollback.storage.lance_table import DurableTable
from vecrollback.testing.storage_suite import ArtifactSuite, MediumSuite, TableSuite


def flipped(medium: Medium, name: str) -> None:
    """Change one byte in the middle of a file, as a failing disk or a careless hand would."""
    data = bytearray(medium.read(name))
    data[len(data) // 2] ^= 0x40
    if isinstance(medium, ObjectMedium):
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(data)
            medium.write(name, Path(file.name))
    else:
        (Path(medium.uri) / name).write_bytes(data)


class _Fixtures:
    @pytest.fixture
    def table(self, medium: Medium) -> DurableTable:
        return DurableTable(medium.inside("tables/t.lance"))

    @pytest.fixture
    def flip(self, table: DurableTable) -> Callable[[str], None]:
        return lambda name: flipped(table.medium, name)


class TestLocal(_Fixtures, MediumSuite, ArtifactSuite, TableSuite):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> Medium:
        return LocalMedium(tmp_path / "store")

    @pytest.fixture
    def artifacts(self, tmp_path: Path) -> Artifacts:
        return LocalArtifacts(tmp_path / "artifacts")

    @pytest.fixture
    def damaged(self, artifacts: LocalArtifacts) -> Callable[[str], None]:
        def damage(name: str) -> None:
            path = artifacts.path(name)
            place = path if path.is_file() else path / "deep" / "data"
            flipped(LocalMedium(place.parent), place.name)

        return damage


class TestObjects(_Fixtures, MediumSuite, ArtifactSuite, TableSuite):
    @pytest.fixture
    def medium(self, objects: ObjectServer) -> Medium:
        return medium_at(objects.uri())

    @pytest.fixture
    def artifacts(self, medium: ObjectMedium, tmp_path: Path) -> Artifacts:
        return ObjectArtifacts(medium, Cache(tmp_path / "cache", 1 << 30), tmp_path)

    @pytest.fixture
    def damaged(self, medium: ObjectMedium) -> Callable[[str], None]:
        return lambda name: flipped(medium, name if medium.head(name) else f"{name}.tar")
