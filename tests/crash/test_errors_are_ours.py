"""Whatever is wrong with a file reaches the caller as an error of ours, with the file and the cure.

Covers storage.reading.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.support.operations import prepare, words
from tests.support.oracle import THREE
from vecrollback import Document, Store
from vecrollback.corpus.columns import document_of, sound_document
from vecrollback.errors import CorruptArtifactError, FailedError, VecrollbackError
from vecrollback.storage.reading import readable, translated

OPERATIONS: dict[str, Callable[[Store, Path], object]] = {
    "search": lambda store, _: store.search("boats"),
    "filter": lambda store, _: store.search("boats", where="id = 'd1'"),
    "get": lambda store, _: store.get([f"d{n}" for n in range(30)]),
    "upsert": lambda store, _: store.upsert([Document(f"d{n}", words(n, 7)) for n in range(30)]),
    "delete": lambda store, _: store.delete([f"d{n}" for n in range(30)]),
    "reembed": lambda store, _: store.reembed(THREE, name="three", index="Flat").wait(),
    "catch_up": lambda store, _: store.catch_up("two"),
    "snapshot": lambda store, _: store.snapshot("two", rebuild=True),
    "export": lambda store, folder: store.export_snapshot("two", folder / "two.bundle"),
    "compact": lambda store, _: store.compact(purge=True),
    "plan": lambda store, _: store.plan(THREE, name="three"),
    "check": lambda store, _: store.check("two"),
}


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    """The last bytes, in which Lance says where everything is, are others."""
    data = path.read_bytes()
    path.write_bytes(data[:-64] + bytes(255 - byte for byte in data[-64:]))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    prepare(root)
    shutil.rmtree(root / "cache", ignore_errors=True)
    return root


def damaged(root: Path, table: str, damage: Callable[[Path], None]) -> list[str]:
    names = []
    for path in sorted((root / f"tables/{table}.lance/data").iterdir()):
        damage(path)
        names.append(path.name)
    return names


_EVERY_RUN = {"search", "upsert", "reembed", "check"}
"""Under each kind of damage to the log, and with damaged vectors; the others in every run only with a log whose damage
makes the oddest errors."""


def _cases() -> Iterator[Any]:
    for operation in OPERATIONS:
        for damage in (remove, truncate, scramble):
            for table in ("documents", "vectors-two"):
                shown = (operation in _EVERY_RUN) + (damage is scramble) + (table == "documents") >= 2
                marks = () if shown else pytest.mark.slow
                yield pytest.param(operation, damage, table, marks=marks, id=f"{operation}-{damage.__name__}-{table}")


@pytest.mark.parametrize(("operation", "damage", "table"), [*_cases()])
def test_no_other_error_leaves_a_method(
    root: Path, tmp_path: Path, table: str, damage: Callable[[Path], None], operation: str
) -> None:
    names = damaged(root, table, damage)
    with vecrollback.connect(root) as store:
        try:
            OPERATIONS[operation](store, tmp_path)
        except VecrollbackError as error:
            assert isinstance(error, FailedError)
            assert error.hint
            assert any(name in f"{error}" for name in names) or f"table {table}" in f"{error}", error
        else:
            # A search answers from the pair, and says by each document that nobody knows its text any more.
            assert operation in ("check", "plan", "snapshot", "search", "filter") or table == "vectors-two"
            if operation == "search" and table == "documents":
                answer = store.search("boats")
                assert not answer.current
                assert all(hit.stale and not hit.text for hit in answer.hits)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("table", ["documents", "vectors-two"])
def test_no_other_error_leaves_a_method_when_a_table_is_gone(
    root: Path, tmp_path: Path, table: str, operation: str
) -> None:
    shutil.rmtree(root / f"tables/{table}.lance")
    with vecrollback.connect(root) as store:
        try:
            OPERATIONS[operation](store, tmp_path)
        except VecrollbackError as error:
            assert isinstance(error, FailedError)
            assert table in f"{error}"


@pytest.mark.parametrize("damage", [remove, truncate, scramble])
def test_a_rollback_moves_and_tells_its_trouble(root: Path, damage: Callable[[Path], None]) -> None:
    damaged(root, "documents", damage)
    with vecrollback.connect(root) as store:
        switched = store.rollback(reason="a test")
        assert switched.target == "one@1"
        assert "of table documents" in switched.trouble
        assert store.live().name == "one"


@pytest.mark.parametrize("metadata", ['{"kind": "bicycle", "n"0 1}', "[1]", "3", "", "{" * 5_000])
def test_metadata_whose_bytes_flipped_is_called_damage(metadata: str) -> None:
    row = {"id": "d1", "text": "a text", "metadata": metadata, "_digest": b"", "_content_hash": b""}
    with pytest.raises(CorruptArtifactError, match="metadata"):
        document_of(row)
    assert sound_document(row) is None


def test_an_error_of_the_program_is_not_called_damage() -> None:
    for error in (
        AttributeError("partially initialized module 'lance' has no attribute 'dataset'"),
        ImportError("cannot import name 'x' from partially initialized module 'lance'"),
        TypeError("a mistake"),
        KeyError("lance"),
        ValueError("a mistake"),
        MemoryError(),
        KeyboardInterrupt(),
    ):
        assert translated(error, "a file") is None
        with pytest.raises(type(error)), readable("a file"):
            raise error


def test_a_full_disk_and_missing_rights_are_not_called_damage() -> None:
    for error, cure in (
        (OSError(28, "No space left on device"), "prune"),
        (OSError("LanceError(IO): ... No space left on device (os error 28)"), "prune"),
        (PermissionError(13, "Permission denied"), "read and write"),
        (OSError(24, "Too many open files"), "ulimit"),
    ):
        ours = translated(error, "a file")
        assert ours is not None
        assert not isinstance(ours, CorruptArtifactError)
        assert cure in ours.hint
