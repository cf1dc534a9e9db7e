"""Whoever reads a dataset of Lance goes on reading it while others change the table."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from vecrollback.storage import LocalFileStore
from vecrollback.storage.lance_table import LanceTable

_SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("n", pa.int64())])


def rows(first: int, stop: int) -> pa.Table:
    return pa.table({"id": [f"r{n}" for n in range(first, stop)], "n": range(first, stop)}, schema=_SCHEMA)


@pytest.fixture
def table(tmp_path: Path) -> LanceTable:
    """Three versions with rows, the last one open."""
    table = LanceTable(LocalFileStore(tmp_path / "t.lance"))
    dataset = table.create(_SCHEMA).dataset
    for first in range(0, 30, 10):
        dataset = table.append(rows(first, first + 10), onto=dataset).dataset
    return table


def changes(table: LanceTable, opened: Any) -> None:
    """Everything that changes a table but for adding rows, from one open dataset."""
    digests = {name: table.digest(name) for name in table.files(opened) | {table.manifest(opened.version)}}
    compacted = table.compact(onto=opened, digests=digests).dataset
    shortened = table.delete("id = 'r3'", onto=compacted).dataset
    widened = table.add_columns([pa.field("more", pa.string())], onto=shortened).dataset
    everything = {name: table.digest(name) for name in table.names() if name.endswith(".manifest")}
    table.forget_versions([1, 2], everything, onto=widened)


def test_a_dataset_that_somebody_reads_stays_what_it_is(table: LanceTable) -> None:
    opened = table.at(4)
    changes(table, opened)
    assert (opened.version, opened.count_rows()) == (4, 30)
    assert table.newest(4).count_rows() == 29


def test_a_compaction_syncs_what_it_wrote_and_no_more(table: LanceTable, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, before, synced = table.at(4), table.names(), set()
    settle = LocalFileStore.settle

    def note(files: LocalFileStore, names: Iterable[str], *, new_folders: bool = False) -> None:
        synced.update(names := list(names))
        settle(files, names, new_folders=new_folders)

    monkeypatch.setattr(LocalFileStore, "settle", note)
    digests = {name: table.digest(name) for version in (1, 2, 3, 4) for name in table.files(table.at(version))}
    table.compact(onto=opened, digests=digests)
    assert synced - {"_versions/latest_version_hint.json"} == table.names() - before


def test_old_versions_go_after_a_write_once_they_are_many(table: LanceTable) -> None:
    assert table.many_old_versions(4, age=-60) == [1, 2, 3]
    assert table.many_old_versions(4, frozenset({1, 2}), age=-60) == []
    assert table.old_versions(4, frozenset({1, 2}), age=-60) == [3]


def test_a_reader_on_another_thread_is_never_told_of_damage(table: LanceTable) -> None:
    opened, over, errors, read = table.at(4), threading.Event(), [], [0]

    def look() -> None:
        try:
            while not over.is_set():
                with table.reported():
                    assert opened.to_table(columns=["n"]).num_rows == 30
                    assert table.at(4).version == 4
                read[0] += 1
        except Exception as error:
            errors.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    changes(table, opened)
    over.set()
    reader.join()
    assert errors == []
    assert read[0] > 0
