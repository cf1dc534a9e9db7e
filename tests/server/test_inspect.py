"""Two pairs side by side, the map, reports, and the last hour in numbers: what the dashboard is drawn from.

Covers server.traffic_series, serving.inspect, serving.vector_map.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.http_server import QUERIES, Server, serving
from vecrollback import Document, connect
from vecrollback.errors import AliasMovedError, UnknownNameError, UsageError
from vecrollback.records import GoldenQuery, Hit, Result
from vecrollback.server.traffic_series import Series, score_edges
from vecrollback.serving.vector_map import pca


def test_a_pair_answers_aside_what_it_answers_when_it_serves(own_store: Path) -> None:
    with connect(own_store) as store:
        compared = store.inspection.compare(QUERIES[0], "v2", "v1", 8)
        live = store.search(QUERIES[0], 8)
        assert (compared.a.pair, compared.a.epoch, compared.a.hits) == ("v2", 0, live.hits)
        store.rollback(reason="to see", catch_up=False)
        assert compared.b.hits == store.search(QUERIES[0], 8).hits
        assert store.inspection.search("v2", QUERIES[0], 8).hits == live.hits
        store.inspection.close()
        assert store.inspection.search("v2", QUERIES[0], 8).hits == live.hits


def test_every_document_of_both_answers_has_its_ranks(store: Path) -> None:
    with connect(store) as opened:
        compared = opened.inspection.compare(QUERIES[0], "v1", "v2", 10)
    for side, result in (("a", compared.a), ("b", compared.b)):
        ranks = {place.id: getattr(place, side) for place in compared.places if getattr(place, side)}
        assert ranks == {hit.id: rank for rank, hit in enumerate(result.hits, 1)}
    shared = {hit.id for hit in compared.a.hits} & {hit.id for hit in compared.b.hits}
    assert compared.overlap == len(shared) / 10


def test_an_id_of_two_namespaces_is_two_documents(tmp_path: Path) -> None:
    documents = [Document("faq", "green tea", namespace=one) for one in ("shop", "other shop", "")]
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([*documents, Document("else", "something else entirely")])
        for name, model in (("v1", "hash:32?seed=1"), ("v2", "hash:32?seed=1&chunk=semantic:90")):
            store.reembed(model, name=name, index="Flat").wait()
        compared = store.inspection.compare("green tea", "v1", "v2", 4)
        ranks = [{(hit.namespace, hit.id): n for n, hit in enumerate(one.hits, 1)} for one in (compared.a, compared.b)]
        assert {(place.namespace, place.id): (place.a, place.b) for place in compared.places} == {
            key: (ranks[0][key], ranks[1][key]) for key in ranks[0]
        }
        assert (len(compared.places), compared.overlap) == (4, 1.0)
        golden = store.quality.compare("v1", "v2", queries=[GoldenQuery("q", "green tea", {})], k=4)
        assert (golden.overlap, golden.rbo) == (1.0, pytest.approx(1.0))


def test_a_comparison_that_makes_no_sense_is_refused(store: Path) -> None:
    with connect(store) as opened:
        with pytest.raises(UsageError):
            opened.inspection.compare("apples", "v1", "v1")
        with pytest.raises(UsageError):
            opened.inspection.compare(" ", "v1", "v2")
        with pytest.raises(UnknownNameError):
            opened.inspection.compare("apples", "v1", "v9")


def test_a_deleted_document_is_in_no_comparison_and_on_no_map(own_store: Path) -> None:
    with connect(own_store) as store:
        first = store.inspection.compare(QUERIES[0], "v1", "v2", 5)
        gone = first.a.hits[0].id
        store.delete([gone])
        again = store.inspection.compare(QUERIES[0], "v1", "v2", 60)
        assert gone not in {place.id for place in again.places}
        drawn = store.inspection.map("v1")
        assert gone not in {point.id for point in drawn.points}
        assert drawn.population == 59


def test_a_few_foreign_vectors_stand_apart_on_the_map() -> None:
    chance = np.random.default_rng(3)
    own = chance.normal(size=(500, 32))
    foreign = chance.normal(size=(4, 32)) * 0.1 + np.eye(32)[31]
    own, foreign = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (own, foreign))
    suspect = np.arange(504) >= 500
    places, explained = pca(np.vstack([own, foreign]).astype(np.float32), suspect)
    assert 0 < explained[1] <= explained[0] < 1
    centre, spread = places[~suspect].mean(axis=0), places[~suspect].std(axis=0)
    assert (np.abs((places[suspect] - centre) / spread).max(axis=1) > 3).all()
    assert np.isfinite(pca(np.full((3, 4), np.nan, np.float32), np.zeros(3, bool))[0]).all()


def test_a_rollback_decided_on_an_older_state_is_refused(own_store: Path) -> None:
    with serving(own_store) as server:
        body = {"to": "v1", "reason": "worse", "expected_epoch": 1}
        told = server.post("/v1/rollback", body)
        assert told.status_code == 409
        assert told.json()["error"]["facts"] == {"expected": 1, "found": 2}
        assert server.post("/v1/rollback", body | {"expected_epoch": 2}).json()["to"] == "v1@1"
    with connect(own_store) as store, pytest.raises(AliasMovedError):
        store.rollback("v2", reason="back", override=True, expected_epoch=2)


def test_the_server_tells_who_asks_and_what_was_found(server: Server) -> None:
    assert server.get("/v1/whoami").json() == {"name": "keeper", "role": "admin"}
    reports = server.get("/v1/reports").json()["reports"]
    assert [report["pair"] for report in reports] == ["v2", "v1"]
    assert server.get("/v1/reports", params={"pair": "v1", "limit": 1}).json()["reports"][0]["verdict"] == "pass"
    assert server.get("/v1/reports", params={"pair": "v9"}).status_code == 404
    drawn = server.get("/v1/map", params={"pair": "v1", "sample": 20}).json()
    assert (len(drawn["points"]), drawn["population"]) == (20, 60)
    assert {point[4] for point in drawn["points"]} == {drawn["fingerprint"]}
    assert server.post("/v1/compare", {"query": "a", "a": "v1", "b": "v2", "k": 100_000}).status_code == 400
    assert server.post("/v1/compare", {"query": "a" * 9000, "a": "v1", "b": "v2"}).status_code == 400


def result(epoch: int, score: float = 0.52) -> Result:
    return Result("v1", 1, epoch, 1, {}, [Hit("d", score, "", {}, 0, False)])


def test_numbers_of_several_workers_are_one_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = []
    for pid in (1, 2):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        workers.append(Series(tmp_path))
    for worker in workers:
        worker.answered([result(3), result(3)], 0.010)
        worker.answered([result(4)], 2.0)
        worker.behind(4, 7)
        worker.failed()
    for worker in workers:
        old, new = worker.spans(60, 60)[-2:]
        assert (old.epoch, old.answers, old.errors, old.lag) == (3, 4, 0, None)
        assert (new.epoch, new.answers, new.errors, new.lag) == (4, 2, 2, 7)
        assert old.quantile(0.5) == pytest.approx(0.010, rel=0.15)
        assert new.quantile(0.99) == pytest.approx(2.0, rel=0.15)
        assert old.scores[score_edges().index(0.5)] == 4


def test_the_series_forgets_and_never_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    series, now = Series(), 1_700_000_000
    monkeypatch.setattr(time, "time", lambda: now)
    for _ in range(4_000):
        now += 1
        series.answered([result(1, score=-7.0)], 100.0)
        series.behind(1, 2**40)
    assert sum(span.answers for span in series.spans(3_599, 10)) == 3_600
    [last] = series.spans(0, 1)
    assert last.lag == 2**32 - 2
    assert last.scores[0] == 1
    now += 3_600
    assert series.spans(60, 1) == []
    assert Series().spans(60, 1) == []
