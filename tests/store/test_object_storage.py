"""A store on object storage with its catalog in PostgreSQL: the whole story, several hosts, and what happens when the
storage, or a host, goes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.storage.test_conformance import flipped
from tests.support import s3_server as object_storage
from tests.support.operations import EVERY_ROW
from tests.support.oracle import ONE, QUERIES, THREE, TOLERANCE, TWO, assert_passes, assert_serves, exact
from tests.support.postgres import PostgresServer
from tests.support.s3_server import ObjectServer
from tests.support.store_hosts import Host
from tests.support.waiting import wait_for
from vecrollback import Document, Store
from vecrollback.errors import BundleError, CatalogMismatchError, CorruptArtifactError, StorageUnavailableError
from vecrollback.pairs.backup import verify
from vecrollback.records import RetentionRules

TEXTS = {f"d{n}": f"note {n} on {('boats', 'the lake', 'bread', 'the harbour')[n % 4]}, {n * 7}" for n in range(40)}


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url()


@pytest.fixture
def uri(objects: ObjectServer) -> str:
    return objects.uri()


@pytest.fixture
def store(uri: str, url: str) -> Iterator[Store]:
    """Pairs `one` and `two`, both served, `two` is live."""
    with vecrollback.connect(uri, catalog=url, create=True) as opened:
        opened.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        for name, spec in (("one", ONE), ("two", TWO)):
            opened.reembed(spec, name=name, index="Flat").wait()
            opened.promote(name, reason="first")
        yield opened


@pytest.fixture
def host(uri: str, url: str, tmp_path: Path) -> Callable[[str], Host]:
    return lambda name: Host(name, uri, url, tmp_path)


def heard(file: Path) -> list[dict[str, Any]]:
    """What a process said so far; a line that is being written is left out."""
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]] if file.exists() else []


def assert_once(store: Store, pair: str) -> None:
    """Every change has its rows once, in the table itself and not only in what counts of it."""
    found = store.pair(pair)
    keys = store.resources.vectors_of(found).keys(found.vectors_version)
    rows = list(zip(*(keys[name].to_pylist() for name in ("doc_id", "seq", "ordinal")), strict=True))
    assert len(rows) == len(set(rows))


def test_whole_story_is_that_of_a_local_store(store: Store, tmp_path: Path) -> None:
    texts = {**TEXTS, "d1": "bread and nothing else", "new": "a boat"}
    store.upsert([Document("d1", texts["d1"], {"year": 2026}), Document("new", texts["new"]), Document("gone", "lake")])
    store.delete(["gone"])
    moved = store.rollback(reason="the story")
    assert (moved.trouble, moved.target) == ("", "one@1")
    assert moved.report is not None
    assert_passes(moved.report)
    assert_serves(store, texts)
    assert [hit.id for hit in store.search("bread", where="year > 2020").hits] == ["d1"]
    assert_passes(store.restore("two@1", reason="the story").report or store.check("two"))
    assert_serves(store, texts)
    pair = store.reembed(THREE, name="three", index="lance:IVF_FLAT").wait()
    assert_passes(store.promote(pair).report or store.check("three"))
    assert_serves(store, texts)
    store.export_snapshot("three", tmp_path / "three.bundle")
    assert store.import_snapshot(tmp_path / "three.bundle", name="again").pair == "again"
    assert_passes(store.check("again", sample=EVERY_ROW))
    store.compact(purge=True)
    assert_passes(store.check("three", sample=EVERY_ROW))
    store.resources.copy_to(tmp_path / "copy")
    with vecrollback.connect(tmp_path / "copy") as copy:
        for name in ("one", "three"):
            assert_passes(copy.check(name, sample=EVERY_ROW))
        assert_serves(copy, texts)


def test_a_backup_goes_to_object_storage_and_back_into_a_store_there(
    store: Store, objects: ObjectServer, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = f"{objects.uri()}/all.backup"
    monkeypatch.setenv("VECROLLBACK_KEY", "k" * 40)
    store.backups.create(backup)
    with pytest.raises(BundleError, match="has no signature"):
        verify(backup, require_signature=True)
    store.backups.create(backup, sign=True)
    verify(backup, require_signature=True)
    for place, catalog in ((objects.uri(), postgres.url()), (tmp_path / "local", None)):
        with vecrollback.connect(place, catalog=catalog, create=True) as restored:
            assert restored.backups.restore(backup).live == "two@1"
            assert_serves(restored, TEXTS)
            assert_passes(restored.check("one", sample=EVERY_ROW))
            restored.upsert([Document("new", "a boat")])
            restored.catch_up("two")
            assert restored.rollback(reason="the next move works").target == "one@1"


@pytest.mark.slow
def test_drill_and_chaos_leave_the_store_alone(store: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the environment names the catalog: a copy for chaos has one of its own."""
    monkeypatch.setenv("VECROLLBACK_CATALOG", url)
    history = store.history(alias="live")
    for chaos in ("", "files-gone"):
        drill = store.drill(chaos)
        assert drill.verdict == "pass", (drill.said, drill.phases)
    assert store.history(alias="live") == history
    assert_passes(store.check("one", sample=EVERY_ROW))


def test_no_secret_is_written_down_or_shown(store: Store, postgres: PostgresServer, objects: ObjectServer) -> None:
    store.upsert([Document("x", "y")])
    secret = objects.environment["AWS_SECRET_ACCESS_KEY"]
    said = (
        json.dumps(store.status()) + json.dumps(store.resources.environment) + repr(store.resources.file_store.address)
    )  # type: ignore[attr-defined]
    assert secret not in said
    schema = store.resources.catalog.place.partition("schema=")[2]
    with postgres.connect() as connection:
        tables = [
            row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
        ]
        assert len(tables) > 10
        for table in tables:
            rows = connection.execute(f'SELECT t::text FROM "{schema}"."{table}" t').fetchall()
            assert not any(secret in row[0] for row in rows), table


def test_another_catalog_is_refused(store: Store, uri: str, postgres: PostgresServer, objects: ObjectServer) -> None:
    other = postgres.url()
    vecrollback.connect(objects.uri(), catalog=other, create=True).close()
    for create in (False, True):
        with pytest.raises(CatalogMismatchError):
            vecrollback.connect(uri, catalog=other, create=create)


@pytest.mark.parametrize(
    "missing", [pytest.param(False, id="flipped"), pytest.param(True, marks=pytest.mark.slow, id="missing")]
)
def test_damage_in_the_storage_is_found_and_mended(store: Store, missing: bool) -> None:
    """Although this machine holds a sound copy: another one would have none."""
    store.promote("one")
    manifest = store.manifest(store.pair("two").ref)[1]
    for name in manifest.artifacts():
        if missing:
            store.resources.file_store.remove(f"artifacts/{name}")
        else:
            flipped(store.resources.file_store, f"artifacts/{name}")
    report = store.check("two")
    assert {id_ for one in report.findings if one.kind == "artifact_corrupt" for id_ in one.ids} == {
        *manifest.artifacts()
    }
    assert_passes(store.repair(report))
    assert_passes(store.check("two", sample=EVERY_ROW))
    snapshot = store.manifest(store.pair("two").ref)[0]
    store.resources.file_store.remove(f"artifacts/{snapshot.manifest}")
    report = store.check("two", level="quick")
    assert [one.kind for one in report.findings] == ["manifest_corrupt"]
    assert_passes(store.repair(report))


@pytest.mark.parametrize("owner", [pytest.param("documents", marks=pytest.mark.slow), "vectors-two"])
def test_damage_to_a_table_in_the_storage_is_found(store: Store, owner: str) -> None:
    table = (
        store.resources.corpus.table if owner == "documents" else store.resources.vectors_of(store.pair("two")).table
    )
    for entry in [entry.name for entry in table.file_store.entries("data")]:
        flipped(table.file_store, f"data/{entry}")
        assert [one.kind for one in store.check("two", level="full").findings] == ["file_corrupt", "unreadable"]
        flipped(table.file_store, f"data/{entry}")
    assert_passes(store.check("two"))
    gone = f"data/{table.file_store.names('data')[0]}"
    table.file_store.move(gone, "elsewhere")
    assert [one.ids for one in store.check("two", level="quick").findings] == [(gone,)]


def test_damaged_copy_in_the_cache_is_told_and_replaced(store: Store) -> None:
    name = store.manifest(store.pair("two").ref)[1].index.artifact
    path = store.resources.artifacts.require(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    report = store.check("two")
    assert [one.kind for one in report.findings] == ["artifact_corrupt"]
    assert "cache" in report.findings[0].message
    assert_passes(store.check("two", sample=EVERY_ROW))


def test_prune_takes_what_nothing_names_after_its_time(store: Store, objects: ObjectServer) -> None:
    store.upsert([Document("d1", "changed")])
    for _ in range(2):
        store.catch_up("two")
        store.snapshot("two", rebuild=True)
        store.upsert([Document("d1", f"changed at {time.monotonic_ns()}")])
    store.retention.retire(store.reembed(THREE, name="three", index="lance:IVF_FLAT").wait())
    stray = store.resources.artifacts.put_bytes(".bin", b"nobody's")
    assert store.retention.plan(RetentionRules(snapshots=1, cool_down=3600)).files == ()
    time.sleep(2.1)  # the storage tells times in whole seconds
    plan = store.retention.plan(RetentionRules(snapshots=1, cool_down=1))
    assert plan.pairs == ("three",)
    paths = {file.path for file in plan.files}
    assert {f"artifacts/{stray}", "tables/vectors-three.lance"} <= paths
    store.resources.artifacts.put_bytes(".bin", b"nobody's")  # found in place, but young objects are not put again
    done = store.retention.apply(plan)
    assert {file.path for file in done.files} == paths
    assert not any(store.resources.file_store.exists(path) for path in paths)
    assert not store.resources.file_store.exists(
        "artifacts/" + next(p for p in paths if p.endswith(".lance")).rpartition("/")[2]
    )
    for pair in ("one", "two"):
        store.catch_up(pair)
        assert_passes(store.check(pair, sample=EVERY_ROW))
    assert store.retention.plan(RetentionRules(snapshots=1, cool_down=1)).files == ()


def test_snapshot_whose_files_a_prune_took_is_not_registered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    register = store.resources.catalog.pairs.add_snapshot

    def late(snapshot: Any, present: Any) -> None:
        store.resources.file_store.remove(f"artifacts/{store.resources.artifacts.require(snapshot.manifest).name}")
        register(snapshot, present)

    monkeypatch.setattr(store.resources.catalog.pairs, "add_snapshot", late)
    with pytest.raises(CorruptArtifactError, match="missing"):
        store.snapshot("two", rebuild=True)
    monkeypatch.undo()


class TestStorageGoes:
    """Each test has a server that it may stop."""

    @pytest.fixture
    def objects(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ObjectServer]:
        if not object_storage.available():
            pytest.skip("needs a local S3 server: pip install 'vecrollback[dev]'")
        with object_storage.running() as own:
            for name, value in own.environment.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("VECROLLBACK_CACHE", str(tmp_path / "cache"))
            yield own

    def test_rollback_needs_no_storage_and_is_finished_when_that_is_back(
        self, store: Store, objects: ObjectServer, host: Callable[[str], Host], tmp_path: Path
    ) -> None:
        texts = {**TEXTS, "d1": "bread and nothing else"}
        store.upsert([Document("d1", texts["d1"])])
        store.catch_up("two")
        searcher = host("searcher").run("serve", output=tmp_path / "searcher")
        try:
            wait_for("first answers", lambda: len(heard(tmp_path / "searcher")) > 3)
            wait_for(
                "both snapshots to be open", lambda: all({"one@1", "two@1"} <= set(r["warm"]) for r in searchers(store))
            )
            objects.stop()
            went = time.monotonic()
            said = host("operator").done("rollback", "the storage is away")  # it never saw the store before
            assert said[0]["target"] == "one@1"
            assert (said[0]["expected"], said[0]["told"]) == (1, [])
            assert "object storage" in said[0]["trouble"]
            asked = time.monotonic()
            wait_for("a later answer", lambda: heard(tmp_path / "searcher")[-1]["begun"] > asked)
            answers = [answer for answer in heard(tmp_path / "searcher") if answer["begun"] > went]
            assert {answer["pair"] for answer in answers if answer["begun"] > asked} == {"one"}
            assert searcher.poll() is None, "a query failed"
            with pytest.raises(StorageUnavailableError):
                store.check("one")
            objects.start()
            assert store.catch_up("one").lag == 0
            assert_passes(store.check("one", sample=EVERY_ROW))
            assert_serves(store, texts)
            assert searcher.poll() is None
        finally:
            searcher.communicate("\n", timeout=60)
        assert searcher.returncode == 0

    def test_searcher_that_had_not_yet_read_a_change_answers_without_what_was_deleted(
        self, store: Store, objects: ObjectServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("vecrollback.serving.open_pairs._AWAY_SECONDS", 0.5)
        with store.searcher(follow=False) as searcher:
            known = searcher.search(QUERIES[2], k=100)
            gone = known.hits[0].id
            store.delete([gone])
            store.upsert([Document("new", "bread"), Document("d1", "bread and nothing else")])
            store.catch_up("two")
            objects.stop()
            result = searcher.search(QUERIES[2], k=100)
            assert (result.current, result.epoch) == (False, known.epoch)
            assert [hit.id for hit in result.hits] == [hit.id for hit in known.hits if hit.id != gone]
            assert store.rollback(reason="the storage is away", catch_up=False).target == "one@1"
            objects.start()
            wait_for("current answers", lambda: searcher.search(QUERIES[0]).current)
            found = searcher.search(QUERIES[2], k=100)
            assert (found.pair, found.current) == ("one", True)
            assert gone not in {hit.id for hit in found.hits}
            store.catch_up("one")
            wait_for("the new document", lambda: "new" in {hit.id for hit in searcher.search(QUERIES[2], k=100).hits})

    def test_what_needs_the_storage_says_so_and_changes_nothing(self, store: Store, objects: ObjectServer) -> None:
        head, history = store.status()["corpus"], store.history()
        objects.stop()
        for act in (
            lambda: store.upsert([Document("x", "y")]),
            lambda: store.promote("one"),
            lambda: store.restore("one@1", reason="back"),
            lambda: store.snapshot("two", rebuild=True),
        ):
            with pytest.raises(StorageUnavailableError):
                act()
        assert (store.status()["corpus"], store.history()) == (head, history)
        objects.start()
        assert store.upsert([Document("x", "y")]).head == int(head["head"]) + 1
        store.catch_up("two")
        assert_passes(store.check("two", sample=EVERY_ROW))


def searchers(store: Store) -> list[dict[str, Any]]:
    return [
        {"host": searcher.host, "warm": searcher.warm} for searcher in store.resources.catalog.searchers.alive("live")
    ]


# -- several hosts ----------------------------------------------------------------------------------------------------

_MANY = {f"d{n}": f"note {n} on {('boats', 'the lake', 'bread', 'the harbour')[n % 4]}, {n * 7}" for n in range(300)}
"""More than one unit of a re-embedding."""


@pytest.mark.slow
def test_one_host_embeds_one_serves_one_writes_and_no_answer_is_mixed_or_missing(
    uri: str, url: str, host: Callable[[str], Host], tmp_path: Path
) -> None:
    with vecrollback.connect(uri, catalog=url, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in _MANY.items()])
        store.reembed(ONE, name="one", index="Flat").wait()
        store.promote("one")
        files = {name: tmp_path / name for name in ("serves", "writes")}
        running = [
            host("serves").run("serve", output=files["serves"]),
            host("writes").run("write", "w", output=files["writes"]),
        ]
        try:
            wait_for("both hosts to say something", lambda: all(heard(file) for file in files.values()))
            killed = host("embeds").run("build", "two", TWO, VECROLLBACK_FAULT="vectors.appended:1")
            assert killed.communicate(timeout=60)[1] == ""
            assert killed.returncode == -signal.SIGKILL
            assert host("resumes").done("build", "two", TWO) == [{"ready": "two"}]
            for number in range(12):
                moved = store.promote(("two", "one")[number % 2], reason="flip")
                assert moved.searchers.acknowledged == moved.searchers.expected == 1
            live = store.live().name
            assert store.rollback(reason="the way back").target.partition("@")[0] != live
            assert {searcher.host for searcher in store.resources.catalog.searchers.alive("live")} == {"serves"}
            last = store.live().epoch
            wait_for("an answer of the last epoch", lambda: heard(files["serves"])[-1]["epoch"] == last)
        finally:
            ended = [process.communicate("\n", timeout=60)[1] for process in running]
        assert [process.returncode for process in running] == [0, 0], ended
        answers = heard(files["serves"])
        targets = {move.epoch: move.target.partition("@")[0] for move in store.history(alias="live")}
        assert {answer["epoch"] for answer in answers} >= {max(targets)}
        wanted = {(name, q): exact(spec, _MANY, q) for name, spec in (("one", ONE), ("two", TWO)) for q in QUERIES}
        for answer in answers:
            assert answer["pair"] == targets[answer["epoch"]]
            right = wanted[answer["pair"], answer["query"]]
            found = {id_: score for id_, score in answer["scores"].items() if id_ in right}
            assert len(found) >= 10, "some of the writer's come first, never most of them"
            assert max(abs(score - right[id_]) for id_, score in found.items()) < TOLERANCE
        for pair in ("one", "two"):
            store.catch_up(pair)
            assert_once(store, pair)
            assert_passes(store.check(pair, sample=EVERY_ROW))


def _cut_off(postgres: PostgresServer, name: str) -> None:
    """End the sessions of a host, as its network or its server would; its locks are free then."""
    with postgres.connect() as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [name]
        ).fetchall()
        assert ended


def _stopped(process: subprocess.Popen[str]) -> None:
    """Wait until it has stopped itself. It may be another process's child, so its state is read."""
    stat = Path(f"/proc/{process.pid}/stat")
    until = time.monotonic() + 60
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("work", "point"),
    [
        ("put", "table.committed"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("put", "table.data_synced"),
                ("catch_up", "table.committed"),
                ("catch_up", "table.data_synced"),
            )
        ),
    ],
)
def test_host_that_was_cut_off_and_comes_back_changes_nothing_that_was_acknowledged(
    work: str, point: str, store: Store, host: Callable[[str], Host], postgres: PostgresServer
) -> None:
    texts = {**TEXTS, "d1": "written before"}
    store.upsert([Document("d1", texts["d1"])])
    arguments = ("d2", "written too late") if work == "put" else ("two",)
    late = host(f"late-{work[:3]}-{point[-6:-1]}").run(work, *arguments, TEST_STOP_AT=point)
    _stopped(late)
    _cut_off(postgres, f"late-{work[:3]}-{point[-6:-1]}")
    host("second").done("put", "d3", "written meanwhile")
    third = host("third").done("catch_up", "two")
    late.send_signal(signal.SIGCONT)
    errors = late.communicate(timeout=60)[1]
    assert late.returncode != 0, "it was told that its work counts"
    assert "HeadMovedError" in errors or "CatalogUnavailableError" in errors
    found = {id_: document.text for id_, document in store.get([*TEXTS]).items()}
    taken_in = {"d2": "written too late"} if found["d2"] == "written too late" else {}
    assert found == {**texts, "d3": "written meanwhile", **taken_in}
    assert third[0]["watermark"] <= int(store.status()["corpus"]["head"])
    store.upsert([Document("d4", "written after it")])
    for pair in ("one", "two"):
        store.catch_up(pair)
        assert_passes(store.check(pair, sample=EVERY_ROW))
    assert_serves(store, {**found, "d4": "written after it"})


_STEPS = (
    ("put", "table.data_synced"),
    ("put", "table.committed"),
    ("build", "artifact.written"),
    ("build", "artifact.renamed"),
)
_MORE_STEPS = (
    *(("put", point) for point in ("corpus.merged", "corpus.acknowledged")),
    *(("build", point) for point in ("table.data_synced", "table.committed", "vectors.appended", "pair.advanced")),
    ("build", "snapshot.registered"),
)


@pytest.mark.parametrize("steps", [_STEPS, pytest.param(_MORE_STEPS, marks=pytest.mark.slow)], ids=["some", "others"])
def test_host_killed_between_any_two_steps_loses_nothing_and_another_goes_on(
    steps: tuple[tuple[str, str], ...], store: Store, host: Callable[[str], Host]
) -> None:
    texts = dict(TEXTS)
    for number, (work, point) in enumerate(steps):
        id_, text, name = f"k{number}", f"a boat, number {number}", f"p{number}"
        arguments = (id_, text) if work == "put" else (name, THREE)
        nth = 2 if point.startswith("artifact") else 1  # the first of them are the probes
        killed = host("dies").run(work, *arguments, VECROLLBACK_FAULT=f"{point}:{nth}")
        assert killed.communicate(timeout=60)[0] == ""
        assert killed.returncode == -signal.SIGKILL, (work, point)
        if work == "put":
            assert set(store.get([id_])) <= {id_}
            host("goes-on").done(work, *arguments)
            texts[id_] = text
        else:
            assert host("goes-on").done(work, *arguments) == [{"ready": name}]
            assert_once(store, name)
            assert_passes(store.check(name, sample=EVERY_ROW))
            store.retention.retire(store.pair(name))
    assert {id_: document.text for id_, document in store.get(list(texts)).items()} == texts
    store.catch_up("two")
    assert_passes(store.check("two", sample=EVERY_ROW))
    assert_serves(store, texts)
