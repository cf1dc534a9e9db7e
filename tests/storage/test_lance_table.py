"""Whoever reads a dataset of Lance goes on reading it while others change the table."""

from __future__ import annotations

import threading
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
