"""What a watch judges by: the queries that come and, where these are too few, golden ones that it asks itself."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from tests.support.operations import prepare_releases
from vecrollback import Store
from vecrollback.records import LATENCIES, LIVE, AnswerCount, Sample, latency_bucket
from vecrollback.store.automation.watch import PooledTraffic, ProbedTraffic, SyntheticTraffic
from vecrollback.store.automation.watch.traffic import ENOUGH, Volume, sampled_a_second
from vecrollback.switching.policy import Policy

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


def pooled(store: Store, traffic: SyntheticTraffic) -> PooledTraffic:
    return PooledTraffic(traffic, store, Policy(), "here/watch")


def give(store: Store, host: str, epoch: int, *, answers: int, errors: int = 0, seconds: float = 0.01) -> None:
    """As a searcher on another host gives it."""
    latency = [0] * LATENCIES
    latency[latency_bucket(seconds)] = answers
    samples = [(n, Sample(time.time(), epoch, f"{host} {n}", 0.5)) for n in range(min(answers, 20))]
    count = AnswerCount(time.time(), epoch, answers, errors, latency)
    store.resources.catalog.traffic.give(host, LIVE, f"{host}/server", samples, [(0, count)])


def test_queries_of_other_hosts_count_like_those_of_this_one(store: Store) -> None:
    traffic = pooled(store, SyntheticTraffic(["apples", "pears"], store.search, batch=2))
    traffic.refresh()
    assert (traffic.volume(60.0, since=2).answers, len(traffic.hosts())) == (2, 1)
    give(store, "north", 2, answers=300, errors=3)
    give(store, "south", 2, answers=100, seconds=2.0)
    traffic.refresh()
    volume = traffic.volume(60.0, since=2)
    assert (volume.answers, volume.errors) == (404, 3)
    assert volume.p99 is not None
    assert 1.5 < volume.p99 < 2.6  # a quarter of all takes two seconds, whichever host answered the rest
    assert {one.query for one in traffic.samples(60.0)} >= {"apples", "pears", "north 19", "south 0"}
    assert {*traffic.hosts()} >= {"north", "south"}
    assert traffic.volume(60.0, since=3).answers == 0  # of an epoch that nobody has answered from


def test_a_slow_host_weighs_as_much_as_it_answers(store: Store) -> None:
    class Quick(SyntheticTraffic):
        def volume(self, seconds: float, since: int) -> Volume:
            latency = [0] * LATENCIES
            latency[latency_bucket(0.01)] = 10_000
            return dataclasses.replace(super().volume(seconds, since), answers=10_000, latency=latency)

    traffic = pooled(store, Quick(["apples"], store.search, batch=1))
    give(store, "north", 2, answers=50, seconds=5.0)
    traffic.refresh()
    volume = traffic.volume(60.0, since=2)
    assert volume.answers == 10_050
    assert volume.p99 == pytest.approx(0.01, rel=0.3)


def test_no_golden_query_is_asked_while_another_host_answers_enough(store: Store) -> None:
    traffic = ProbedTraffic(
        pooled(store, SyntheticTraffic(["apples"], store.search, batch=0)),
        lambda: GOLDEN,
        store.search,
        lambda: store.live().epoch,
    )
    give(store, "north", 2, answers=ENOUGH)
    traffic.refresh()
    assert not {one.query for one in traffic.samples(60.0)} & set(GOLDEN)
    assert "north" in traffic.hosts()


@pytest.mark.parametrize(("interval", "queries"), [(60.0, 20), (10.0, 20), (1.0, 120), (0.2, 600)])
def test_within_one_interval_enough_are_sampled_to_judge_by(interval: float, queries: int) -> None:
    assert sampled_a_second(interval) == queries
