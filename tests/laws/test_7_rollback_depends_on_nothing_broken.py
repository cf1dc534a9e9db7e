"""Law 7. Rollback depends on nothing that may be broken: neither the failed pair, nor its model, nor any by-work."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vecrollback
from tests.laws.support import FRAGILE
from tests.support import counting
from tests.support.operations import EVERY_ROW, ROOT, words
from tests.support.oracle import QUERIES, assert_passes, assert_serves
from tests.support.traffic import start_traffic, stop_traffic
from tests.support.two_pairs import TEXTS
from vecrollback import Document, Store, Switched
from vecrollback.errors import CheckRefusedError, NoRollbackTargetError
from vecrollback.pairs.manifest import load_manifest


@pytest.fixture
def broken(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`bad` is live; then its model cannot load, its vectors and its artefacts are gone."""
    flag = tmp_path / "broken"
    monkeypatch.setenv(counting.BROKEN, str(flag))
    with vecrollback.connect(root) as store:
        store.reembed(FRAGILE, name="bad", index="HNSW16,Flat").wait()
        store.promote("bad")
        bad, others = [], set()
        for snapshot in store.snapshots():
            manifest = load_manifest(store.resources.artifacts, snapshot.manifest)
            names = {snapshot.manifest, *manifest.artifacts()}
            bad += names if snapshot.pair == "bad" else []
            others |= names if snapshot.pair != "bad" else set()
    for name in set(bad) - others:
        (root / "artifacts" / name).unlink()
    shutil.rmtree(root / "tables/vectors-bad.lance")
    flag.touch()
    return root


def test_rollback_depends_on_nothing_that_may_be_broken(broken: Path) -> None:
    with vecrollback.connect(broken) as store:
        store.upsert([Document("new", words(70))])
        switched = store.rollback(reason="everything is broken")
        assert (switched.source, switched.target, switched.trouble) == ("bad@1", "one@1", "")
        assert switched.report
        assert_passes(switched.report)
        assert_serves(store, TEXTS | {"new": words(70)})
        assert store.pair("bad").state == "quarantined"


def test_rollback_depends_on_no_model_and_no_table(broken: Path) -> None:
    code = (
        "import sys, vecrollback\n"
        f"store = vecrollback.connect({str(broken)!r})\n"
        "store.rollback(reason='a test', catch_up=False)\n"
        "print([m for m in ('torch', 'transformers', 'sentence_transformers', 'lance', 'lancedb', 'faiss') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
    with vecrollback.connect(broken) as store:
        assert store.live().name == "one"


def test_rollback_stands_when_the_proof_after_it_fails(root: Path, store: Store) -> None:
    shutil.rmtree(root / "tables/vectors-two.lance")
    switched = store.rollback(reason="a test")
    assert switched.target == "two@1"
    assert switched.trouble
    assert store.live().name == "two"


def test_rollback_reaches_searchers_that_are_serving(root: Path, store: Store) -> None:
    searcher = start_traffic(root, "query", "follow")
    ends = time.monotonic() + 10
    while not store.status()["searchers"] and time.monotonic() < ends:
        time.sleep(0.01)
    switched = store.rollback(reason="a test", catch_up=False)
    assert (switched.searchers.expected, switched.searchers.acknowledged) == (1, 1)
    stop_traffic(searcher)


# -- on nothing that hangs on it: incidents, approvals, freezes, policies, messages -----------------------------------


@pytest.mark.parametrize("broken", ["incident", "served", "tag"])
def test_rollback_depends_on_no_incident(root: Path, broken: str) -> None:
    drop(root, broken)
    with vecrollback.connect(root) as store, store.searcher() as searcher:
        assert searcher.search(QUERIES[0]).pair == "one"
        await_searcher(store)
        done = store.rollback(reason="worse answers")
        assert store.live().name == "two"
        assert searcher.search(QUERIES[0]).pair == "two"
        assert (done.searchers.expected, done.searchers.missing) == (1, ())
        assert done.caught_up is not None
        assert_passes_after(done)
        assert f"no such table: {broken}" in done.trouble


@pytest.mark.parametrize("broken", ["freeze", "approval", "audit"])
def test_rollback_depends_on_no_authority_table(root: Path, broken: str) -> None:
    drop(root, broken)
    with vecrollback.connect(root) as store:
        assert_passes_after(store.rollback(reason="worse answers"))
        assert store.live().name == "two"


def test_rollback_depends_on_no_policy_that_can_be_read(root: Path, store: Store) -> None:
    (root / "vecrollback.toml").write_text("[policy]\nnonsense = 1\n")
    assert store.rollback(reason="worse answers").target == "two@1"


def test_rollback_waits_for_no_channel(root: Path, store: Store) -> None:
    channel(root, "['sleep', '60']")
    assert_passes_after(store.rollback(reason="worse answers"))
    [notice] = store.notices.all()
    assert (notice.state, notice.attempts) == ("waiting", 0)


def test_rollback_depends_on_no_outbox_and_says_that_nobody_is_told(root: Path) -> None:
    channel(root, "['true']")
    drop(root, "notice")
    with vecrollback.connect(root) as store:
        done = store.rollback(reason="worse answers")
        assert_passes_after(done)
        assert store.live().name == "two"
        assert done.trouble == "nobody is told of it: the outbox cannot be written"
        assert store.incidents.get(1).reason == "worse answers"


def drop(root: Path, table: str) -> None:
    with sqlite3.connect(root / "catalog.db") as connection:
        connection.execute(f"DROP TABLE {table}")


def channel(root: Path, command: str) -> None:
    (root / "vecrollback.toml").write_text(f"[[policy.notify]]\nkind = 'command'\ncommand = {command}\n")


def assert_passes_after(done: Switched) -> None:
    assert done.report is not None
    assert_passes(done.report)


def await_searcher(store: Store) -> None:
    deadline = time.monotonic() + 10
    while not store.status()["searchers"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- on the log, which all pairs have in common -----------------------------------------------------------------------


def damage_a_text(root: Path, *, recorded: bool) -> None:
    """One document's text has another letter; `recorded`: with a digest of the file that fits."""
    path = next(p for p in (root / "tables/documents.lance/data").iterdir() if b"note 7 on" in p.read_bytes())
    path.write_bytes(path.read_bytes().replace(b"note 7 on", b"Note 7 on"))
    if recorded:
        with sqlite3.connect(root / "catalog.db") as connection:
            fitting = hashlib.sha256(path.read_bytes()).hexdigest()
            connection.execute("UPDATE file SET sha256 = ? WHERE path = ?", (fitting, f"data/{path.name}"))


@pytest.mark.parametrize(("recorded", "kind"), [(False, "file_corrupt"), (True, "document_corrupt")])
def test_rollback_is_not_refused_for_what_is_wrong_with_the_log(root: Path, recorded: bool, kind: str) -> None:
    damage_a_text(root, recorded=recorded)
    with vecrollback.connect(root) as store:
        for name in ("one", "two"):
            report = store.check(name, sample=EVERY_ROW)
            assert (report.verdict, report.fitness != "fail") == ("fail", True)
            assert kind in {finding.kind for finding in report.findings}
            assert {finding.about for finding in report.findings} == {"log"}
        with pytest.raises(CheckRefusedError):  # forward is another matter
            store.promote("two")
        assert store.rollback_target().ref == "two@1"
        assert store.rollback(reason="worse answers").target == "two@1"
        assert store.live().name == "two"


def test_rollback_is_refused_for_what_is_wrong_with_the_pair_beside_the_log(root: Path) -> None:
    damage_a_text(root, recorded=False)
    path = next((root / "tables/vectors-two.lance/data").iterdir())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with vecrollback.connect(root) as store:
        report = store.check("two")
        assert {finding.about for finding in report.findings} == {"log", "pair"}
        with pytest.raises(NoRollbackTargetError, match="its last check says fail"):
            store.rollback(reason="worse answers")
