"""A bad model that somebody promoted is rolled back by the policy alone; a person's decision never is.

Covers store.automation.watch.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import vecrollback
from tests.support.operations import words
from tests.support.prometheus import prometheus
from vecrollback import Document, Result, Store
from vecrollback.errors import LockHeldError, UsageError
from vecrollback.store.automation.watch import PooledTraffic, SyntheticTraffic, Watch
from vecrollback.store.automation.watch.evaluation import Decision
from vecrollback.store.automation.watch.pair_answers import PairAnswers
from vecrollback.store.automation.watch.replay import replay
from vecrollback.store.automation.watch.traffic import Volume
from vecrollback.switching.policy import read_policy

GOOD, SAME, BAD = "hash:256?seed=1", "hash:256?seed=2", "hash:8?seed=3"
QUERIES = [" ".join(words(n).split()[1:6]) for n in range(0, 200, 2)]
RAPID = "bake = '1ms'\ninterval = '1ms'\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pair `good` is live; `same` is as good; `bad` has eight dimensions to say everything in."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True, actor="builder") as store:
        store.upsert([Document(f"d{n}", words(n)) for n in range(200)])
        for name, embedder in (("good", GOOD), ("same", SAME), ("bad", BAD)):
            store.reembed(embedder, name=name, index="Flat").wait()
        store.promote("good", reason="first")
    return root


Watched = Callable[..., Watch]


@pytest.fixture
def watched(store: Store, tmp_path: Path) -> Iterator[Watched]:
    """Makes a watch with a policy, on traffic of its own."""

    def make(text: str, **options: Any) -> Watch:
        path = tmp_path / "policy.toml"
        path.write_text(text)
        asking = SyntheticTraffic(QUERIES, store.search, batch=len(QUERIES))
        return Watch(store, read_policy(path), asking, **options)

    yield make


def rounds(watch: Watch, count: int = 6) -> list[Decision]:
    made = []
    for _ in range(count):
        made.append(watch.tick())
        time.sleep(0.005)
    return made


def kinds(decisions: list[Decision]) -> list[str]:
    return [one.kind for one in decisions if one.kind != "none"]


STANDOUT = RAPID + "[[metric]]\nsource = 'standout'\n"


def test_a_bad_model_is_rolled_back_by_the_policy_alone(store: Store, watched: Watched) -> None:
    watch = watched(STANDOUT)
    assert kinds(rounds(watch)) == []  # nothing stands by yet: inconclusive
    store.promote("bad", reason="said to be better")
    assert kinds(rounds(watch)) == ["rollback"]
    assert store.live().name == "good"
    assert store.pair("bad").state == "quarantined"
    [incident] = store.incidents.all()
    assert (incident.actor, incident.verdict) == ("policy", "pass")
    assert incident.reason.startswith("standout ")
    [first, *_] = incident.trigger["metrics"]
    assert (first["metric"], first["condition"]) == ("standout", "> 0.25")
    assert incident.timeline.began is not None
    assert incident.timeline.detected is not None
    assert incident.timeline.decided is not None
    assert incident.timeline.began < incident.timeline.detected < incident.timeline.decided


def test_a_bad_model_is_seen_by_what_another_process_answers(store: Store, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(STANDOUT)
    policy = read_policy(tmp_path / "policy.toml")
    traffic = PooledTraffic(SyntheticTraffic(QUERIES, store.search, batch=0), store, policy, "here/watch")
    watch = Watch(store, policy, traffic)
    with vecrollback.connect(store.root) as other, other.searcher(follow=False) as searcher:

        def one_round() -> Decision:
            made = watch.tick()
            searcher.traffic.send()  # as its heartbeat does
            for query in QUERIES:
                searcher.search(query)
            searcher.traffic.send()
            return made

        one_round()
        store.promote("bad", reason="said to be better")
        decisions = [one_round() for _ in range(6)]
    assert kinds(decisions) == ["rollback"]
    assert store.status()["alias"]["live"]["pair"] == "good"
    standing = {one["metric"]: one["said"] for one in store.measurements.standing("live")}
    assert "sampled " in standing["standout"]


def test_the_first_failure_gets_the_proof_ready_and_moves_nothing(
    store: Store, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[str] = []
    monkeypatch.setattr(Store, "expect_rollback", lambda self: expected.append(self.status()["alias"]["live"]["pair"]))
    watch = watched(STANDOUT)
    rounds(watch, 3)
    assert expected == []
    store.promote("bad", reason="said to be better")
    decisions = rounds(watch)
    assert kinds(decisions) == ["rollback"]
    assert expected == ["bad"]  # once, while the bad pair still served


def test_as_good_a_model_stays(store: Store, watched: Watched) -> None:
    text = RAPID + "".join(
        f"[[metric]]\nsource = '{source}'\naction = 'rollback'\n"
        for source in ("error_rate", "health", "standout", "scores", "queries")
    )
    watch = watched(text)
    rounds(watch)
    store.promote("same", reason="another seed")
    assert kinds(rounds(watch, 12)) == []
    assert store.live().name == "same"
    assert set(watch.phases().values()) == {"success"}


def test_after_an_automatic_rollback_nothing_moves_until_a_person_promotes(store: Store, watched: Watched) -> None:
    watch = watched(STANDOUT)
    store.promote("bad", reason="said to be better")
    rounds(watch)
    store.promote("bad", override=True, reason="it was the monitoring")
    decided = rounds(watch, 10)
    assert kinds(decided) == ["alert"]
    assert "a person promoted this pair although" in next(one.reason for one in decided if one.kind == "alert")
    assert store.live().name == "bad"


def test_a_frozen_store_is_not_moved_and_people_are_told(store: Store, watched: Watched) -> None:
    watch = watched(STANDOUT)
    store.promote("bad", reason="said to be better")
    store.freezes.freeze("release day", actor="anna")
    assert kinds(rounds(watch)) == ["alert"]
    assert store.live().name == "bad"
    store.freezes.unfreeze(actor="anna")
    assert kinds(rounds(watch)) == ["rollback"]


def test_a_policy_that_finds_no_way_back_says_so_once_and_tries_again(store: Store, watched: Watched) -> None:
    watch = watched(STANDOUT + "[[notify]]\nkind = 'command'\ncommand = ['true']\n")
    store.promote("bad", reason="said to be better")
    rounds(watch, 1)
    [snapshot] = store.snapshots("good")
    manifest = store.root / "artifacts" / snapshot.manifest
    hidden = manifest.rename(manifest.with_suffix(".hidden"))
    store.notices.use(watch._policy)
    assert kinds(rounds(watch)).count("rollback") > 1
    assert store.live().name == "bad"
    alerts = [notice.body["text"] for notice in store.notices.all() if notice.body["event"] == "alert"]
    assert len(alerts) == 1
    assert "not possible" in alerts[0]
    hidden.rename(manifest)
    rounds(watch, 2)
    assert store.live().name == "good"


def test_business_numbers_wait_for_a_person(store: Store, watched: Watched) -> None:
    watch = watched(RAPID + "[[metric]]\nsource = 'pushed'\nkey = 'clicks'\nfailure = '< 0.2'\n")
    store.promote("bad", reason="said to be better")
    assert kinds(rounds(watch)) == []  # nobody pushed anything
    store.measurements.push([("clicks", 0.1, time.time())])
    assert kinds(rounds(watch)) == ["approve"]
    assert store.live().name == "bad"
    [asked] = store.approvals.all(state="waiting")
    assert (asked.kind, asked.asked_by) == ("rollback", "policy")
    decided = store.approve(asked.number, actor="anna")
    assert decided.switched is not None
    assert store.live().name == "good"
    [incident] = store.incidents.all()
    assert (incident.actor, incident.trigger["metrics"][0]["metric"]) == ("anna", "pushed")


def test_values_pushed_before_the_promote_say_nothing_of_the_pair(store: Store, watched: Watched) -> None:
    watch = watched(RAPID + "[[metric]]\nsource = 'pushed'\nkey = 'clicks'\nfailure = '< 0.2'\n")
    store.measurements.push([("clicks", 0.1, time.time())])
    store.promote("bad", reason="said to be better")
    assert kinds(rounds(watch)) == []


def test_prometheus_is_asked_and_its_silence_is_inconclusive(store: Store, watched: Watched) -> None:
    with prometheus() as server:
        text = f"[[metric]]\nsource = 'prometheus'\naddress = '{server.url}'\nquery = 'sum(clicks)'\nfailure = '< 5'\n"
        watch = watched(RAPID + text)
        store.promote("bad", reason="said to be better")
        server.value = 12.0
        assert kinds(rounds(watch)) == []
        assert watch.phases() == {"prometheus": "success"}
        assert server.asked[0] == "sum(clicks)"
        server.value = None
        assert kinds(rounds(watch)) == []
        assert watch.phases() == {"prometheus": "inconclusive"}
        server.value = 1.0
        assert kinds(rounds(watch)) == ["approve"]
    assert kinds(rounds(watch, 3)) == []  # it is gone: no value, no decision


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"value": float("nan")}, id="nan: nothing was asked, 0/0"),
        pytest.param({"value": float("inf")}, id="inf"),
        pytest.param({"instead": []}, id="a list"),
        pytest.param({"instead": {"status": "success"}}, id="no data"),
        pytest.param({"instead": {"status": "success", "data": {"resultType": "vector", "result": [{}]}}}, id="empty"),
    ],
)
def test_whatever_one_metric_gives_the_others_decide(store: Store, watched: Watched, odd: dict[str, Any]) -> None:
    with prometheus() as server:
        vars(server).update(odd)
        text = f"[[metric]]\nsource = 'prometheus'\naddress = '{server.url}'\nquery = 'a / b'\nfailure = '> 0.5'\n"
        watch = watched(RAPID + text + "action = 'alert'\n" + "[[metric]]\nsource = 'health'\n", search=_refuse)
        store.promote("bad", reason="said to be better")
        assert "rollback" in kinds(rounds(watch))
    assert store.live().name == "good"
    kept = store.measurements.memory("live")
    assert sorted(kept) == ["health", "prometheus"]
    json.dumps(kept, allow_nan=False)


def _refuse(query: str) -> Result:
    raise RuntimeError(f"nothing answers {query!r}")


@pytest.mark.parametrize("address", ["http://127.0.0.1:909O", "http://[::1", "//"])
def test_an_address_that_is_none_is_a_metric_that_cannot_be_measured(
    store: Store, watched: Watched, address: str
) -> None:
    text = f"[[metric]]\nsource = 'prometheus'\naddress = '{address}'\nquery = 'a'\nfailure = '> 0.5'\n"
    watch = watched(RAPID + text + "[[metric]]\nsource = 'health'\n", search=_refuse)
    store.promote("bad", reason="said to be better")
    assert "rollback" in kinds(rounds(watch))


def test_a_live_model_too_broken_for_a_baseline_is_rolled_back_from(
    store: Store, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watched(RAPID + "[[metric]]\nsource = 'health'\n", search=_refuse)
    rounds(watch, 2)
    store.promote("bad", reason="said to be better")

    def broken(*_: object) -> None:
        raise RuntimeError("the weights are gone")

    monkeypatch.setattr(PairAnswers, "on", broken)
    assert "rollback" in kinds(rounds(watch))
    assert store.live().name == "good"


def test_a_watch_that_fails_in_every_round_tells_so_once(
    store: Store, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watched(STANDOUT + "[[notify]]\nkind = 'command'\ncommand = ['true']\n")
    made = 0

    def fail(_: Watch) -> Decision:
        nonlocal made
        made += 1
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(Watch, "tick", fail)
    watch._asked_to_stop = lambda: made >= 3
    watch.run()
    [notice] = store.notices.all()
    assert notice.body["text"] == (
        "the watch of live fails in every round, and nothing is measured: the disk is on fire"
    )


def test_a_clock_that_went_back_after_the_promote_holds_no_rollback_up(
    store: Store, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watched(STANDOUT)
    store.promote("bad", reason="said to be better")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    assert kinds(rounds(watch)) == ["rollback"]
    assert store.live().name == "good"


def test_a_new_snapshot_of_the_live_pair_does_not_cancel_a_rollback(
    store: Store, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watched(STANDOUT)
    store.promote("bad", reason="said to be better")
    roll_back = Store.rollback

    def interrupted(self: Store, *arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(Store, "rollback", roll_back)
        with vecrollback.connect(store.root) as worker:
            worker.snapshot("bad", rebuild=True)
        return roll_back(self, *arguments, **named)

    monkeypatch.setattr(Store, "rollback", interrupted)
    assert kinds(rounds(watch)) == ["rollback"]
    assert store.live().name == "good"


def test_a_request_that_the_policy_made_waits_on_when_the_live_pair_gets_a_new_snapshot(
    store: Store, watched: Watched
) -> None:
    watch = watched(STANDOUT + "action = 'approve'\n")
    store.promote("bad", reason="said to be better")
    assert kinds(rounds(watch)) == ["approve"]
    store.snapshot("bad", rebuild=True)
    assert kinds(rounds(watch)) == []
    [request] = store.approvals.all(state="waiting")
    assert store.approve(request.number, actor="anna").switched is not None
    assert store.live().name == "good"


def test_slow_metrics_only_tell(store: Store, watched: Watched) -> None:
    text = "[[metric]]\nsource = 'lag'\nfailure = '> 5'\ninterval = '1ms'\n"
    text += "[[metric]]\nsource = 'purity'\nfailure = '> 0'\ninterval = '1ms'\n"
    text += "[[metric]]\nsource = 'golden'\nfailure = '< 2'\nminimum = 1\ninterval = '1ms'\n"
    text += "[[metric]]\nsource = 'cost'\nfailure = '> 1'\ninterval = '1ms'\n"
    watch = watched(RAPID + text)
    store.golden.add(words(7), ["d7"])
    rounds(watch, 2)
    store.upsert([Document(f"x{n}", words(500 + n)) for n in range(9)])
    rounds(watch, 2)
    assert watch.phases() == {"lag": "failure", "purity": "failure", "golden": "failure", "cost": "failure"}
    assert store.live().name == "good"


def test_one_of_two_watches_leads_and_the_other_takes_over(store: Store, watched: Watched) -> None:
    stop = False
    watch = watched(STANDOUT, stopping=lambda: stop)
    store.promote("bad", reason="said to be better")
    with store.resources.catalog.lock("guard"):
        thread = threading.Thread(target=watch.run)
        thread.start()
        time.sleep(0.3)
        assert store.live().name == "bad"
    deadline = time.monotonic() + 20
    while store.live().name != "good":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    stop = True
    thread.join()


def test_a_watch_that_died_before_it_acted_leaves_the_decision_to_the_next(store: Store, watched: Watched) -> None:
    first = watched(STANDOUT)
    store.promote("bad", reason="said to be better")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    first._act = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        rounds(first)
    second = watched(STANDOUT)
    second._evaluator.resume(store.measurements.memory("live"))
    assert kinds(rounds(second)) == ["rollback"]


def test_what_was_measured_replays_to_the_same_decision(store: Store, watched: Watched, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"at": time.time(), "event": "promote"}]
    watch = watched(STANDOUT, on_reading=lambda row: rows.append(dict(row)))
    store.promote("bad", reason="said to be better")
    decided = rounds(watch)
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = replay(watch._policy, recorded)
    assert found.decisions[0][1].kind == "rollback" == kinds(decided)[0]
    assert found.decisions[0][1].reason == next(one.reason for one in decided if one.kind == "rollback")


def test_latency_is_compared_with_what_it_was_before(store: Store, watched: Watched) -> None:
    watch = watched(STANDOUT)
    rounds(watch, 3)
    store.promote("bad", reason="said to be better")
    rounds(watch)
    [incident] = store.incidents.all()
    assert incident.post_check is not None
    assert incident.post_check.latency_ms is not None
    assert incident.post_check.latency_before_ms is not None


def test_quality_is_measured_after_a_rollback_and_told_beside_what_it_was(store: Store, watched: Watched) -> None:
    pytest.importorskip("ir_measures", reason="pip install 'vecrollback[eval]'")
    for query in QUERIES[:6]:
        [hit] = store.search(query, k=1).hits
        store.golden.add(query, {hit.id: 1})
    watch = watched(STANDOUT)
    rounds(watch, 3)
    store.promote("bad", reason="said to be better")
    rounds(watch)
    [incident] = store.incidents.all()
    assert incident.post_check is not None
    assert (incident.post_check.quality, incident.post_check.quality_before) == (1.0, 1.0)
    paper = store.incidents.paper(incident.number)
    assert "Golden queries: nDCG@10 1.000 now; 1.000 when this pair served before" in paper


class _Timed(SyntheticTraffic):
    """Traffic whose latency is given: by the first epoch that counts."""

    p99: Mapping[int, float] = {}

    def volume(self, seconds: float, since: int) -> Volume:
        return dataclasses.replace(super().volume(seconds, since), p99=self.p99[since])


def test_latency_before_is_what_it_was_when_the_pair_served_last(store: Store, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(STANDOUT)
    traffic = _Timed(QUERIES, store.search, batch=len(QUERIES))
    traffic.p99 = {1: 0.010, 2: 0.5, 3: 18.095}
    watch = Watch(store, read_policy(tmp_path / "policy.toml"), traffic)
    rounds(watch, 3)
    store.promote("bad", reason="said to be better")
    rounds(watch)
    [incident] = store.incidents.all()
    assert (incident.epoch, store.measurements.baseline("live", 3) is not None) == (3, True)
    assert incident.post_check is not None
    assert incident.post_check.latency_before_ms == pytest.approx(10.0)
    assert incident.post_check.latency_ms == pytest.approx(18_095.0)


def test_a_watch_of_some_rounds_beside_another_one_ends_and_says_why(store: Store, watched: Watched) -> None:
    watch = watched(STANDOUT, rounds=1)
    with store.resources.catalog.lock("guard"), pytest.raises(LockHeldError, match="watches this store already"):
        watch.run()
    assert watch.rounds == 0
    watch.run()
    assert watch.rounds == 1


def test_a_watch_that_waits_for_another_one_says_so_once(store: Store, watched: Watched) -> None:
    said: list[str] = []
    stop = threading.Event()
    watch = watched(STANDOUT, stopping=stop.is_set, on_waiting=lambda: said.append("waits"))
    with store.resources.catalog.lock("guard"):
        thread = threading.Thread(target=watch.run)
        thread.start()
        deadline = time.monotonic() + 20
        while not said:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)
        stop.set()
        thread.join()
    assert said == ["waits"]


def test_a_watch_without_queries_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="no query to ask"):
        SyntheticTraffic([], store.search)
