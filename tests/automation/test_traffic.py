"""What a guard judges by: the queries that come and, where these are too few, golden ones that it asks itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.operations import prepare_releases
from vecrollback import Store
from vecrollback.automation.guard import ProbedTraffic, SyntheticTraffic
from vecrollback.automation.guard.traffic import ENOUGH

GOLDEN = [f"note {n} on the lake" for n in range(80)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    prepare_releases(root, 40)
    return root


def probed(store: Store, traffic: SyntheticTraffic, golden: list[str]) -> ProbedTraffic:
    return ProbedTraffic(traffic, lambda: golden, store.search, lambda: store.live().epoch)


def test_where_no_query_comes_golden_ones_are_asked_of_the_live_pair_and_counted(store: Store) -> None:
    silent = SyntheticTraffic(["apples"], store.search, batch=0)
    traffic = probed(store, silent, GOLDEN)
    traffic.refresh()
    volume = traffic.volume(60.0, since=2)
    assert (volume.answers, volume.errors) == (ENOUGH, 0)
    assert volume.p99 is not None
    samples = traffic.samples(60.0)
    assert {one.query for one in samples} <= set(GOLDEN)
    assert {one.epoch for one in samples} == {2}
    traffic.refresh()  # enough came within this minute
    assert traffic.volume(60.0, since=2).answers == ENOUGH


def test_after_a_move_they_are_asked_again_and_without_golden_queries_nothing_is(store: Store) -> None:
    traffic = probed(store, SyntheticTraffic(["apples"], store.search, batch=0), GOLDEN)
    traffic.refresh()
    store.rollback(reason="worse answers", catch_up=False)
    assert traffic.volume(60.0, since=3).answers == 0
    traffic.refresh()
    assert traffic.volume(60.0, since=3).answers == ENOUGH
    none = probed(store, SyntheticTraffic(["apples"], store.search, batch=0), [])
    none.refresh()
    assert none.volume(60.0, since=0).answers == 0


def test_nothing_is_asked_while_enough_queries_come(store: Store) -> None:
    busy = SyntheticTraffic([f"apples {n}" for n in range(ENOUGH)], store.search, batch=ENOUGH)
    traffic = probed(store, busy, GOLDEN)
    traffic.refresh()
    assert not {one.query for one in traffic.samples(60.0)} & set(GOLDEN)
