"""What every place for a store's files promises, whatever it is made of: files, artefacts, tables."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vecrollback.errors import CorruptArtifactError, HeadMovedError
from vecrollback.storage import FileStore
from vecrollback.storage.artifacts import Artifacts
from vecrollback.storage.lance_table import LanceTable

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False, metadata={"lance-schema:unenforced-primary-key": "true"}),
        pa.field("number", pa.int64()),
    ]
)


def rows(*pairs: tuple[str, int]) -> pa.Table:
    ids, numbers = zip(*pairs, strict=True)
    return pa.table({"id": list(ids), "number": list(numbers)}, schema=SCHEMA)


def held(dataset: object) -> dict[str, int]:
    rows_now = dataset.to_table()  # type: ignore[attr-defined]
    return dict(zip(rows_now["id"].to_pylist(), rows_now["number"].to_pylist(), strict=True))


class FileStoreConformance:
    """Give `file_store`, a fixture: an empty one."""

    def test_a_file_is_created_once_and_reads_back(self, file_store: FileStore) -> None:
        assert file_store.create("a/b", b"one")
        assert not file_store.create("a/b", b"two")
        assert file_store.read("a/b") == b"one"
        assert file_store.digest("a/b") == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
        assert file_store.exists("a/b")
        assert file_store.stamp("a/b") == file_store.stamp("a/b")
        assert file_store.exists("a")
        assert not file_store.exists("a/c")
        assert file_store.inside("a").read("b") == b"one"

    def test_of_many_that_create_one_file_one_succeeds(self, file_store: FileStore) -> None:
        created: list[int] = []

        def create(number: int) -> None:
            if file_store.create("store.json", str(number).encode()):
                created.append(number)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(created) == 1
        assert file_store.read("store.json") == str(created[0]).encode()

    def test_what_is_not_there_is_said_to_be_not_there(self, file_store: FileStore) -> None:
        for read in (file_store.read, file_store.digest):
            with pytest.raises(FileNotFoundError):
                read("nothing")
        assert list(file_store.entries("nothing")) == []
        assert file_store.names("nothing") == []
        file_store.remove("nothing")

    def test_files_are_listed_moved_and_removed(self, file_store: FileStore) -> None:
        for name in ("one", "folder/two", "folder/deeper/three"):
            file_store.create(name, name.encode())
        assert {(entry.name, entry.bytes) for entry in file_store.entries()} == {
            ("one", 3),
            ("folder/two", 10),
            ("folder/deeper/three", 19),
        }
        assert {entry.name for entry in file_store.entries("folder")} == {"two", "deeper/three"}
        assert sorted(file_store.names("folder")) == ["deeper", "two"]
        file_store.move("one", "won")
        assert (file_store.exists("one"), file_store.read("won")) == (False, b"one")
        file_store.remove("folder")
        assert [entry.name for entry in file_store.entries()] == ["won"]

    def test_a_tree_takes_the_place_of_another(self, file_store: FileStore, tmp_path: Path) -> None:
        place = file_store.inside("tables/t")
        place.create("old", b"old")
        made = tmp_path / "made"
        (made / "_versions").mkdir(parents=True)
        (made / "_versions" / "1").write_bytes(b"manifest")
        (made / "data").write_bytes(b"data")
        place.receive(made, tmp_path / "attic")
        assert {entry.name for entry in place.entries()} == {"_versions/1", "data"}
        place.copy_to(tmp_path / "copy")
        assert (tmp_path / "copy" / "_versions" / "1").read_bytes() == b"manifest"


class ArtifactsConformance:
    """Give `artifacts`, a fixture: empty ones; and `damaged`, which flips a byte of a stored artefact."""

    def folder(self, path: Path) -> None:
        (path / "deep").mkdir(parents=True)
        (path / "settings.json").write_text("{}")
        (path / "deep" / "data").write_bytes(bytes(range(256)) * 50)

    def test_equal_bytes_have_one_name_and_read_back(self, artifacts: Artifacts) -> None:
        name = artifacts.put_bytes(".bin", b"some bytes")
        assert name == artifacts.put_bytes(".bin", b"some bytes")
        assert artifacts.read_bytes(name) == b"some bytes"
        assert artifacts.require(name).read_bytes() == b"some bytes"
        assert artifacts.size(name) == 10
        assert artifacts.verify(name) is None
        artifacts.expect(name)

    def test_a_folder_is_an_artefact_too(self, artifacts: Artifacts) -> None:
        name = artifacts.put(".lance", self.folder)
        assert name == artifacts.put(".lance", self.folder)
        path = artifacts.require(name)
        assert (path / "deep" / "data").read_bytes() == bytes(range(256)) * 50
        assert artifacts.verify(name) is None
        assert artifacts.exists(name)
        assert artifacts.size(name) >= 256 * 50

    def test_a_large_file_arrives_whole(self, artifacts: Artifacts) -> None:
        data = np.random.default_rng(0).bytes(40 << 20)
        name = artifacts.put(".index", lambda path: _write(path, data))
        assert artifacts.require(name).read_bytes() == data
        assert artifacts.verify(name) is None

    def test_what_is_missing_is_named(self, artifacts: Artifacts) -> None:
        name = artifacts.put_bytes(".bin", b"soon gone")
        artifacts.remove(name)
        assert not artifacts.exists(name)
        assert artifacts.verify(name) == f"{name} is missing"
        for ask in (artifacts.require, artifacts.expect, artifacts.read_bytes):
            with pytest.raises(CorruptArtifactError, match="is missing"):
                ask(name)

    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_damage_is_found_and_mended_by_the_next_put(
        self, kind: str, artifacts: Artifacts, damaged: Callable[[str], None]
    ) -> None:
        def put() -> str:
            return artifacts.put_bytes(".bin", b"x" * 3000) if kind == "file" else artifacts.put(".lance", self.folder)

        name = put()
        damaged(name)
        assert artifacts.verify(name) is not None
        assert put() == name
        assert artifacts.verify(name) is None

    def test_damage_is_mended_by_restoring(
        self, artifacts: Artifacts, damaged: Callable[[str], None], tmp_path: Path
    ) -> None:
        name = artifacts.put(".lance", self.folder)
        damaged(name)
        self.folder(tmp_path / "made")
        artifacts.restore(name, tmp_path / "made")
        assert artifacts.verify(name) is None

    def test_all_are_copied_as_a_local_store_has_them(self, artifacts: Artifacts, tmp_path: Path) -> None:
        names = {artifacts.put(".lance", self.folder), artifacts.put_bytes(".bin", b"some bytes")}
        artifacts.copy_to(tmp_path / "copy")
        assert {path.name for path in (tmp_path / "copy").iterdir()} == names
        assert (tmp_path / "copy" / sorted(names, key=len)[0]).exists()


class TableConformance:
    """Give `table`, a fixture: one that is not there yet; and `flip`, which flips a byte of a file of it."""

    def test_versions_are_immutable_and_their_files_have_digests(self, table: LanceTable) -> None:
        first = table.create(SCHEMA, stable_row_ids=True)
        assert table.create(SCHEMA).version == first.version == 1
        second = table.merge("id", rows(("a", 1), ("b", 2)), onto=first.dataset)
        third = table.merge("id", rows(("b", 3), ("c", 4)), onto=second.dataset)
        fourth = table.append(rows(("d", 5)), onto=third.dataset)
        assert [held(table.at(version)) for version in (1, 2, 3, 4)] == [
            {},
            {"a": 1, "b": 2},
            {"a": 1, "b": 3, "c": 4},
            {"a": 1, "b": 3, "c": 4, "d": 5},
        ]
        known = {**first.files, **second.files, **third.files, **fourth.files}
        assert table.sound(4, known)
        assert table.files(table.at(4)) <= known.keys()
        assert any(name.startswith("_deletions/") for name in third.files)
        assert not table.sound(4, known | {table.manifest(4): "0"})
        fresh = type(table)(table.file_store)
        assert held(fresh.at(2)) == {"a": 1, "b": 2}

    def test_a_commit_records_no_file_that_was_there_before(self, table: LanceTable) -> None:
        """Else damage to an old file would be taken for what was written."""
        first = table.create(SCHEMA, stable_row_ids=True)
        second = table.merge("id", rows(("a", 1), ("b", 2)), onto=first.dataset)
        third = table.merge("id", rows(("b", 3)), onto=second.dataset)
        assert not second.files.keys() & third.files.keys()

    def test_what_a_dead_writer_finished_is_found(self, table: LanceTable) -> None:
        first = table.create(SCHEMA)
        second = table.append(rows(("a", 1)), onto=first.dataset)
        table.append(rows(("b", 2)), onto=second.dataset)
        fresh = type(table)(table.file_store)
        found = fresh.recover(2, {})
        assert (found.version, held(found)) == (3, {"a": 1, "b": 2})
        assert fresh.described(found, known=second.files).files.keys() > {fresh.manifest(3)}
        back = fresh.back_to(2)
        assert (back.version, held(back)) == (4, {"a": 1})

    @pytest.mark.parametrize("left", [None, b"", b"torn", bytes(500)])
    def test_a_table_that_was_only_begun_is_laid_out_again(self, table: LanceTable, left: bytes | None) -> None:
        """A power loss may leave the folders without the first version, or its name without its bytes."""
        table.create(SCHEMA)
        table.file_store.remove(table.manifest(1))
        if left is not None:
            table.file_store.create(table.manifest(1), left)
        fresh = type(table)(table.file_store)
        first = fresh.create(SCHEMA)
        second = fresh.append(rows(("a", 1)), onto=first.dataset)
        assert (first.version, second.version, held(second.dataset)) == (1, 2, {"a": 1})
        assert fresh.sound(2, {**first.files, **second.files})

    def test_a_torn_manifest_is_set_aside(self, table: LanceTable) -> None:
        first = table.create(SCHEMA)
        second = table.append(rows(("a", 1)), onto=first.dataset)
        table.file_store.create(table.manifest(3), b"torn")
        fresh = type(table)(table.file_store)
        assert fresh.recover(2, {}).version == 2
        third = fresh.append(rows(("b", 2)), onto=fresh.at(2))
        assert (third.version, held(third.dataset)) == (3, {"a": 1, "b": 2})
        assert held(second.dataset) == {"a": 1}

    def test_a_version_whose_files_are_gone_is_set_aside(self, table: LanceTable) -> None:
        """A purge takes files that no version names yet: those of a writer that was cut off, and commits later."""
        first = table.create(SCHEMA)
        second = table.append(rows(("a", 1)), onto=first.dataset)
        third = table.append(rows(("b", 2)), onto=second.dataset)
        for name in third.files.keys() - {table.manifest(3)}:
            table.file_store.remove(name)
        assert held(type(table)(table.file_store).recover(2, {})) == {"a": 1}

    def test_a_writer_that_was_overtaken_is_refused(self, table: LanceTable) -> None:
        first = table.create(SCHEMA, stable_row_ids=True)
        late = type(table)(table.file_store)
        behind = late.at(1)
        table.append(rows(("a", 1)), onto=first.dataset)
        with pytest.raises(HeadMovedError):
            late.append(rows(("b", 2)), onto=behind)
        with pytest.raises(HeadMovedError):
            late.merge("id", rows(("c", 3)), onto=behind)

    def test_compaction_keeps_the_rows_and_forgets_the_rest(self, table: LanceTable) -> None:
        commit = table.create(SCHEMA, stable_row_ids=True)
        known = dict(commit.files)
        for number in range(4):
            commit = table.merge("id", rows(("a", number), (f"b{number}", number)), onto=commit.dataset)
            known |= commit.files
        before = held(commit.dataset)
        compacted = table.compact(onto=commit.dataset, digests=known, purge=True)
        table.purge_versions(known, onto=compacted.dataset)
        assert held(type(table)(table.file_store).at(compacted.version)) == before
        assert table.file_store.names("_versions").count(table.manifest(1).rpartition("/")[2]) == 0
        assert compacted.files.keys() == table.files(compacted.dataset)

    @pytest.mark.parametrize("sizes", [(8, 1, 2, 90, 3, 1), (100, 1, 1), (1, 1, 100), (70, 1, 70, 2, 2), (1, 2, 3)])
    def test_rows_keep_their_numbers_wherever_small_files_lie(self, table: LanceTable, sizes: tuple[int, ...]) -> None:
        commit, first = table.create(SCHEMA), 0
        for size in sizes:
            commit = table.append(rows(*((f"r{n}", n) for n in range(first, first + size))), onto=commit.dataset)
            first += size
        for below in (64, None):
            commit = table.compact(onto=commit.dataset, digests={}, below=below, in_order=True)
            assert commit.dataset.to_table(columns=["number"])["number"].to_pylist() == list(range(first))

    def test_cleaning_beside_a_damaged_version_names_it_and_a_purge_takes_it_away(
        self, table: LanceTable, flip: Callable[[str], None]
    ) -> None:
        commit = table.create(SCHEMA)
        known = dict(commit.files)
        for number in range(3):
            commit = table.append(rows((f"r{number}", number)), onto=commit.dataset)
            known |= commit.files
        damaged = table.manifest(2)
        flip(damaged)
        with pytest.raises(CorruptArtifactError, match=damaged):
            table.forget_versions([1], known, onto=commit.dataset)
        table.purge_versions(known, onto=commit.dataset)
        assert {*table.file_store.names("_versions")} >= {table.manifest(4).rpartition("/")[2]}
        assert not table.file_store.exists(damaged)
        assert held(type(table)(table.file_store).at(4)) == {"r0": 0, "r1": 1, "r2": 2}

    def test_damage_is_found(self, table: LanceTable, flip: Callable[[str], None]) -> None:
        first = table.create(SCHEMA)
        second = table.append(rows(("a", 1)), onto=first.dataset)
        known = {**first.files, **second.files}
        for name in sorted(table.files(second.dataset)):
            flip(name)
            assert not type(table)(table.file_store).sound(2, known), name
            flip(name)
        assert type(table)(table.file_store).sound(2, known)

    def test_a_table_is_gone_when_it_was_discarded(self, table: LanceTable) -> None:
        table.create(SCHEMA)
        table.discard()
        assert not table.exists()
        with pytest.raises(CorruptArtifactError):
            table.require()
        assert table.create(SCHEMA).version == 1


class StorageConformance(FileStoreConformance, ArtifactsConformance, TableConformance):
    """What every place for a store's files promises: files, artefacts that are named by their bytes, and tables.

    A subclass gives five fixtures: `file_store`, `artifacts` and `table`, all empty; `damaged` and `flip`, functions
    that change one byte of an artefact, and of a file of the table. Damage has to be found.

    Example:
        A whole adopter, here of a local disk::

            import pytest
            from vecrollback.storage import LocalFileStore
            from vecrollback.storage.artifacts import LocalArtifacts
            from vecrollback.storage.lance_table import LanceTable
            from vecrollback.testing import StorageConformance

            def flip_byte(path):
                data = bytearray(path.read_bytes())
                data[len(data) // 2] ^= 1
                path.write_bytes(data)

            class TestMine(StorageConformance):
                @pytest.fixture
                def file_store(self, tmp_path):
                    return LocalFileStore(tmp_path / "store")

                @pytest.fixture
                def artifacts(self, tmp_path):
                    return LocalArtifacts(tmp_path / "artifacts")

                @pytest.fixture
                def table(self, file_store):
                    return LanceTable(file_store.inside("tables/t.lance"))

                @pytest.fixture
                def flip(self, tmp_path):
                    return lambda name: flip_byte(tmp_path / "store/tables/t.lance" / name)

                @pytest.fixture
                def damaged(self, artifacts):
                    def damage(name):
                        path = artifacts.path(name)
                        flip_byte(path if path.is_file() else path / "deep" / "data")
                    return damage
    """


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
