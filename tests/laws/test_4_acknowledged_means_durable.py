"""Law 4. What returned is on disk and synced. Under kill -9 and full disks: tests/crash."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.syscalls import Trace, traced

STEPS = {
    "upsert": "store.upsert([Document('d1', 'changed'), Document('new', 'bread', {'kind': 'x'})])",
    "delete": "store.delete(['d2', 'd3'])",
    "catch_up": "store.catch_up('one')",
    "snapshot": "store.snapshot('one', rebuild=True)",
    "reembed": "store.reembed('hash:32?seed=3', name='three', index='Flat').wait()",
    "promote": "store.promote('three', reason='a test')",
    "rollback": "store.rollback(reason='a test', catch_up=False)",
    "restore": "store.restore('one@1', reason='a test', catch_up=False)",
    "compact": "store.compact(purge=True)",
}


@pytest.fixture(scope="module")
def trace(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    root = tmp_path_factory.mktemp("traced") / "store"
    shutil.copytree(template, root)
    lines = [
        "import os, vecrollback",
        "from vecrollback import Document",
        f"store = vecrollback.connect({str(root)!r})",
    ]
    for name, code in STEPS.items():
        lines += [f"os.write(1, b'BEGIN {name}\\n')", code, f"os.write(1, b'ACK {name}\\n')"]
    return traced("\n".join(lines), root)


@pytest.mark.parametrize("step", STEPS)
def test_acknowledged_means_every_byte_was_synced_before(trace: Trace, step: str) -> None:
    calls = trace.between(f"BEGIN {step}", f"ACK {step}")
    commits = calls.synced("catalog.db-wal")
    assert commits, "the catalog's transaction was not synced"
    assert not calls.written_after(commits[-1], "catalog.db-wal"), "the last transaction was not synced"
    touched = calls.files_made("tables/", "artifacts/")
    if step in ("upsert", "delete", "catch_up", "snapshot", "reembed", "compact"):
        assert touched
    for path in touched:
        after = calls.synced_whole(path)
        assert after, f"{path} was not synced after it was written"
        assert after[0] < commits[-1], f"{path} was synced after the transaction that names it"
        folder = [at for at in calls.synced(str(Path(path).parent)) if at > calls.named(path)]
        assert folder, f"the name of {path} was not synced"
        assert folder[0] < commits[-1]


@pytest.mark.parametrize("step", ["upsert", "delete"])
def test_acknowledged_means_the_log_is_synced_before_the_transaction_that_names_it(trace: Trace, step: str) -> None:
    calls = trace.between(f"BEGIN {step}", f"ACK {step}")
    first = min(calls.writes("catalog.db-wal"))
    for path in calls.files_made("tables/documents.lance/"):
        assert [at for at in calls.synced_whole(path) if at < first], path


@pytest.mark.parametrize("step", ["upsert", "delete", "catch_up", "reembed", "compact"])
def test_acknowledged_means_the_data_is_synced_before_the_manifest_that_names_it(trace: Trace, step: str) -> None:
    """Else a power loss leaves a version without its data, and the next writer meets it before anything else."""
    calls = trace.between(f"BEGIN {step}", f"ACK {step}")
    tables = {path.partition(".lance/")[0] for path in calls.files_made("tables/") if "/data/" in path}
    for table in tables:
        last = max(calls.named(path) for path in calls.files_made(f"{table}.lance/_versions/"))
        for path in calls.files_made(f"{table}.lance/data/", f"{table}.lance/_deletions/"):
            assert [at for at in calls.synced_whole(path) if at < last], path
    assert tables or step == "delete"


def test_acknowledged_means_durable_is_not_believed_without_looking(template: Path, tmp_path: Path) -> None:
    """The trace of a store that syncs no file shows it."""
    shutil.copytree(template, tmp_path / "store")
    careless = traced(
        "import os, vecrollback\n"
        "from vecrollback import Document\n"
        "from vecrollback.storage import local\n"
        "local.sync_file = lambda path: None\n"
        f"store = vecrollback.connect({str(tmp_path / 'store')!r})\n"
        "os.write(1, b'BEGIN\\n')\n"
        "store.upsert([Document('new', 'bread')])\n"
        "os.write(1, b'ACK\\n')\n",
        tmp_path / "store",
    ).between("BEGIN", "ACK")
    made = careless.files_made("tables/")
    assert {Path(path).suffix for path in made} == {".lance", ".manifest"}
    assert not any(careless.synced_whole(path) for path in made)
