"""The laws where a pair lies in a database: the same story on each of them, against a plain dict."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

import vecrollback
from tests.support.oracle import EVERYTHING, ONE, QUERIES, TOLERANCE, TWO, assert_passes, assert_serves, exact
from tests.support.postgres import PostgresServer
from tests.support.traffic import start_traffic, stop_traffic
from tests.support.two_pairs import SPECS, TEXTS
from vecrollback import Document, Store
from vecrollback.errors import PairStateError
from vecrollback.pairs.backend import open_backend
from vecrollback.pairs.native_clients import NATIVE_ALIAS
from vecrollback.records import RetentionRules

PlaceOf = Callable[[str], str]


@pytest.fixture
def place(postgres: PostgresServer) -> PlaceOf:
    """A collection for a pair, in a schema that nobody else uses."""
    schema = f"s_{uuid4().hex[:8]}"
    with postgres.connect() as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return lambda name: f"pgvector:postgresql://postgres@/postgres?host={postgres.folder}#{schema}.{name}"


_KINDS = ("pgvector", "lancedb", "qdrant", "chroma", "milvus")


@pytest.fixture(params=_KINDS)
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> PlaceOf:
    """A collection for a pair in each of the databases; those that need no server, in a folder."""
    return place_of_kind(request, tmp_path)


@pytest.fixture(params=[_KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in _KINDS[1:])])
def every_place(request: pytest.FixtureRequest, tmp_path: Path) -> PlaceOf:
    """The same; in a default run PostgreSQL stands for the others, on which the whole story runs."""
    return place_of_kind(request, tmp_path)


def place_of_kind(request: pytest.FixtureRequest, tmp_path: Path) -> PlaceOf:
    kind, package = request.param, {"qdrant": "qdrant_client", "chroma": "chromadb", "milvus": "milvus_lite"}
    if kind == "pgvector":
        chosen: PlaceOf = request.getfixturevalue("place")
        return chosen
    pytest.importorskip(package.get(kind, "lancedb"), reason=f"pip install 'vecrollback[{kind}]'")
    address = tmp_path / ("database.db" if kind == "milvus" else "database")
    return lambda name: f"{kind}:{address}#pair_{name}"


def begin(root: Path, place: PlaceOf, **options: str) -> Store:
    """`two`, then `one` serve the thirty documents; both in the database."""
    store = vecrollback.connect(root, create=True)
    store.upsert([Document(id_, text) for id_, text in TEXTS.items()])
    for name, spec in (("two", TWO), ("one", ONE)):
        store.reembed(spec, name=name, backend=place(name), **options).wait()
        store.promote(name)
    return store


def change(store: Store, texts: dict[str, str]) -> None:
    """Documents changed, added, deleted, deleted and written again, and one left without a word."""
    changed = {"d3": "bread from the harbour", "new": "a boat that is new", "d8": "", "d5": "written again"}
    store.delete(["d4", "d5", "never"])
    store.upsert([Document(id_, text) for id_, text in changed.items()])
    texts |= changed
    del texts["d4"]


def test_upgrade_change_delete_roll_back_catch_up_check(any_place: PlaceOf, tmp_path: Path) -> None:
    texts = dict(TEXTS)
    with begin(tmp_path / "store", any_place) as store:
        assert_serves(store, texts)
        change(store, texts)
        stale = store.search("bread", k=EVERYTHING)
        assert "d4" not in {hit.id for hit in stale.hits}, "a delete counts from its acknowledgement"
        store.catch_up("one")
        assert_serves(store, texts)
        moved = store.rollback(reason="worse", catch_up=False)
        assert (moved.source, moved.target) == ("one@1", "two@1")
        hits = store.search("bread", k=EVERYTHING).hits
        assert "d4" not in {hit.id for hit in hits}
        assert {hit.id for hit in hits if hit.stale} == {"d3", "d8"}
        proven = store.prove(moved)
        assert proven.report is not None
        assert_passes(proven.report)
        assert_serves(store, texts)
        store.snapshot("two", rebuild=True)
        assert_serves(store, texts)
        for name in ("one", "two"):
            assert_passes(store.check(name))
    with vecrollback.connect(tmp_path / "store") as store, store.searcher() as searcher:
        assert {hit.id: hit.text for hit in searcher.search("boats", k=EVERYTHING).hits} == {
            id_: text for id_, text in texts.items() if text
        }


def test_an_exact_snapshot_is_restored_and_nothing_written_since_is_lost(any_place: PlaceOf, tmp_path: Path) -> None:
    texts = dict(TEXTS)
    with begin(tmp_path / "store", any_place) as store:
        change(store, texts)
        store.catch_up("one")
        store.snapshot("one", rebuild=True)
        moved = store.restore("one@1", reason="as it was", catch_up=False)
        assert moved.target == "one@1"
        hits = {hit.id: hit for hit in store.search("bread", k=EVERYTHING).hits}
        assert "d4" not in hits and "new" not in hits, "what is deleted stays so; what came later is not yet there"
        assert hits["d3"].stale
        done = store.catch_up("one")
        assert (done.lag, done.embedded) == (0, 0), "the rows of later batches are still there"
        assert_serves(store, texts)
        assert_passes(store.check("one"))


def test_a_row_that_somebody_changes_or_removes_in_the_database_is_found(
    place: PlaceOf, tmp_path: Path, postgres: PostgresServer
) -> None:
    with begin(tmp_path / "store", place) as store, postgres.connect() as connection:
        table = place("one").rpartition("#")[2]
        connection.execute(f"UPDATE {table} SET vector = (SELECT vector FROM {table} WHERE row = 1) WHERE row = 0")
        report = store.check("one")
        assert report.verdict == "fail"
        assert "file_corrupt" in {finding.kind for finding in report.findings}
        connection.execute(f"DELETE FROM {table} WHERE row = 7")
        assert store.check("one").verdict == "fail"
        assert store.check("two").verdict == "pass"


def test_a_client_of_another_program_sees_what_is_live_and_nothing_deleted(
    place: PlaceOf, tmp_path: Path, postgres: PostgresServer
) -> None:
    texts = dict(TEXTS)
    with begin(tmp_path / "store", place) as store, postgres.connect() as connection:
        schema = place("one").rpartition("#")[2].partition(".")[0]

        def visible(table: str) -> dict[str, int]:
            rows = connection.execute(f"SELECT id, epoch FROM {schema}.{table} ORDER BY id").fetchall()
            assert len(dict(rows)) == len(rows), "one version of each document"
            return dict(rows)

        assert set(visible(NATIVE_ALIAS).values()) == {store.live().epoch} == {2}
        change(store, texts)
        assert "d4" not in visible(NATIVE_ALIAS), "hidden before the delete was acknowledged"
        store.catch_up("one")
        assert set(visible(NATIVE_ALIAS)) == {id_ for id_, text in texts.items() if text}
        live = store.live()
        assert (live.embedder, live.place, live.epoch) == (ONE, place("one"), 2)
        store.rollback(reason="worse")
        assert visible(NATIVE_ALIAS) == {id_: 3 for id_, text in texts.items() if text}
        [[pair, embedder]] = connection.execute(
            f"SELECT DISTINCT pair, embedder FROM {schema}.{NATIVE_ALIAS}"
        ).fetchall()
        assert (pair, embedder) == ("two", TWO)
        query = "[" + ",".join(["0.1"] * 32) + "]"
        found = connection.execute(
            f"SELECT id FROM {schema}.{NATIVE_ALIAS} ORDER BY vector <=> %s::vector LIMIT 5", (query,)
        ).fetchall()
        assert len(found) == 5
        store.reembed("hash:32?seed=3", name="files").wait()
        store.promote("files")
        assert connection.execute("SELECT to_regclass(%s)", (f"{schema}.{NATIVE_ALIAS}",)).fetchone() == (None,)


def test_nothing_is_embedded_twice_between_files_and_databases(every_place: PlaceOf, tmp_path: Path) -> None:
    with begin(tmp_path / "store", every_place) as store:
        job = store.reembed(ONE, name="files")
        job.wait()
        assert job.status().progress["tokens"] == 0
        index = "ivfflat:lists=2,probes=2" if every_place("again").startswith("pgvector") else "auto"
        job = store.reembed(ONE, name="again", backend=every_place("again"), index=index)
        assert job.wait().state == "ready"
        assert job.status().progress["tokens"] == 0
        for name in ("files", "again"):
            assert_passes(store.check(name))
            store.promote(name)
            assert_serves(store, TEXTS)


def test_a_collection_holds_one_pair_and_goes_with_it(every_place: PlaceOf, tmp_path: Path) -> None:
    place = every_place
    with begin(tmp_path / "store", place) as store:
        with pytest.raises(PairStateError, match="holds pair 'two'"):
            store.reembed("hash:32?seed=3", name="three", backend=place("two"))
        with pytest.raises(PairStateError, match="lie in"):
            store.reembed(ONE, name="one", backend=place("elsewhere"))
        store.reembed("hash:32?seed=3", name="three", backend=place("three")).wait()
        assert open_backend(place("three")).count() == len(TEXTS)
        store.retention.retire(store.pair("three"))
        done = store.retention.apply(store.retention.plan(RetentionRules(cool_down=0)))
        assert (done.pairs, done.spared) == (("three",), {})
        assert open_backend(place("three")).owner() is None
        assert_serves(store, TEXTS)


def test_a_bundle_of_a_pair_in_a_database_is_imported_into_files(every_place: PlaceOf, tmp_path: Path) -> None:
    with begin(tmp_path / "store", every_place) as store:
        exported = store.export_snapshot("one", tmp_path / "one.bundle")
    with vecrollback.connect(tmp_path / "other", create=True) as other:
        other.import_snapshot(exported.path)
        assert other.pair("one").backend == ""
        other.promote("one")
        assert_serves(other, TEXTS)


def test_a_filter_of_metadata_is_obeyed(every_place: PlaceOf, tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document(f"d{n}", f"boats and {n}", {"year": 1990 + n}) for n in range(40)])
        store.reembed(ONE, name="one", backend=every_place("one")).wait()
        store.promote("one")
        hits = store.search("boats", k=5, where="year >= 2025").hits
        wanted = exact(ONE, {f"d{n}": f"boats and {n}" for n in range(35, 40)}, "boats")
        assert [hit.id for hit in hits] == sorted(wanted, key=lambda id_: -wanted[id_])[:5]


@pytest.mark.parametrize("flips", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_no_answer_fails_or_mixes_two_pairs_while_live_flips_between_collections(
    place: PlaceOf, tmp_path: Path, flips: int
) -> None:
    root = tmp_path / "store"
    begin(root, place).close()
    wanted = {(name, query): exact(spec, TEXTS, query) for name, spec in SPECS.items() for query in QUERIES}
    followers = [start_traffic(root, "query", kind) for kind in ("follow", "store")]
    flipper = start_traffic(root, "flip")
    until = time.monotonic() + 10 * flips
    while flipper[1].read_text(encoding="utf-8").count("\n") < flips and time.monotonic() < until:
        time.sleep(0.05)
    moves, *asked = stop_traffic(flipper, *followers)
    with vecrollback.connect(root) as store:
        targets = {move.epoch: move.target.partition("@")[0] for move in store.history(alias="live")}
    assert len(moves) >= flips
    for results in asked:
        assert {result["pair"] for result in results} == {"one", "two"}
        for result in results:
            assert targets[result["epoch"]] == result["pair"]
            exactly = wanted[result["pair"], result["query"]]
            assert result["scores"].keys() == exactly.keys()
            assert max(abs(score - exactly[id_]) for id_, score in result["scores"].items()) < TOLERANCE
            acknowledged = max((move["epoch"] for move in moves if move["at"] < result["begun"]), default=0)
            assert result["epoch"] >= acknowledged
