"""What a power loss leaves behind, laid out by hand: names without their bytes, of versions nobody acknowledged."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import vecrollback
from tests.support.operations import prepare, start, words
from vecrollback import Document
from vecrollback.corpus.columns import SCHEMA
from vecrollback.storage import LocalFileStore
from vecrollback.storage.lance_table import LanceTable

LOSSES = ("short", "empty", "gone", "zeros")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    prepare(root)
    return root


def killed_at(root: Path, operation: str, point: str) -> None:
    process = start(str(root), operation, VECROLLBACK_FAULT=point)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL


def lose(path: Path, how: str) -> None:
    """What ext4 may leave of a file that was written and renamed, and not synced."""
    size = path.stat().st_size
    if how == "gone":
        path.unlink()
    elif how == "zeros":
        path.write_bytes(bytes(size))
    else:
        os.truncate(path, size // 2 if how == "short" else 0)


def newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("how", LOSSES)
def test_a_compaction_that_was_half_synced_is_made_again(root: Path, how: str) -> None:
    with vecrollback.connect(root) as store:
        texts = {id_: one.text for id_, one in store.get([f"d{n}" for n in range(30)]).items()}
    killed_at(root, "compact", "corpus.compacted")
    lose(newest(root / "tables/documents.lance/data"), how)
    with vecrollback.connect(root) as store:
        assert {id_: one.text for id_, one in store.get(list(texts)).items()} == texts
        store.upsert([Document("after", words(300))])
        store.delete(["d1"])
        store.compact(purge=True)
        store.catch_up("one")
        assert store.check("one").verdict == "pass"
        assert {id_: one.text for id_, one in store.get([*texts, "after"]).items()} == (
            {id_: text for id_, text in texts.items() if id_ != "d1"} | {"after": words(300)}
        )


def test_a_compaction_that_nobody_acknowledged_is_not_trusted_even_whole(root: Path) -> None:
    """It holds the rows of the version before it: made again, nothing is lost, and nothing has to be believed."""
    killed_at(root, "compact", "corpus.compacted")
    with vecrollback.connect(root) as store:
        before = store.resources.catalog.files.of("documents")
        store.upsert([Document("after", words(300))])
        store.catch_up("one")
        assert before.items() <= store.resources.catalog.files.of("documents").items()
        assert store.check("one").verdict == "pass"


@pytest.mark.parametrize("how", LOSSES)
def test_a_write_that_was_half_synced_is_dropped(root: Path, how: str) -> None:
    killed_at(root, "upsert", "corpus.merged")
    lose(newest(root / "tables/documents.lance/data"), how)
    with vecrollback.connect(root) as store:
        store.upsert([Document("after", words(300))])
        assert store.get(["d1", "n1", "after"]).keys() == {"d1", "after"}
        store.catch_up("one")
        assert store.check("one").verdict == "pass"


@pytest.mark.parametrize("how", LOSSES)
def test_vectors_that_were_half_synced_are_made_again(root: Path, how: str) -> None:
    killed_at(root, "catch_up", "vectors.appended")
    lose(newest(root / "tables/vectors-two.lance/data"), how)
    with vecrollback.connect(root) as store:
        store.catch_up("two")
        assert store.check("two").verdict == "pass"


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("name", ["documents", "earlier"])
def test_a_table_that_was_only_begun_is_laid_out_again(tmp_path: Path, name: str, how: str) -> None:
    table = LanceTable(LocalFileStore(tmp_path / f"store/tables/{name}.lance"))
    table.create(SCHEMA)
    lose(tmp_path / f"store/tables/{name}.lance" / table.manifest(1), how)
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("d1", "first"), Document("d2", "first")])
        store.upsert([Document("d1", "second")])
        store.delete(["d2"])
        assert store.time_travel.plan(2).changed == ("d1",)
