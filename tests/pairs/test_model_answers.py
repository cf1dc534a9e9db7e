"""Fitness includes that the model answers now: whoever has time asks, and a switch goes by what was written down.

Services are real HTTP servers that are stopped and given another model.

Covers store.models.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import vecrollback
from tests.support.openai_server import OpenAIServer
from vecrollback import Document, Store
from vecrollback.embedders import open_embedder
from vecrollback.errors import NoRollbackTargetError, PairStateError
from vecrollback.pairs.embedders import PairEmbedders
from vecrollback.records import ANSWER_SECONDS
from vecrollback.store.automation.worker import Worker
from vecrollback.switching.policy import Policy
from vecrollback.switching.policy.model import Channel

OTHER = "hash:64?seed=6"


class Service:
    """A service that can be stopped and started again where it was."""

    def __init__(self) -> None:
        self.server, self.running = OpenAIServer().__enter__(), True

    def stop(self) -> None:
        self.server.__exit__(None, None, None)
        self.running = False

    def start(self) -> None:
        self.server, self.running = OpenAIServer(port=self.server.port).__enter__(), True

    def texts(self) -> int:
        """Texts that it was asked for since the last call of this."""
        count = sum(len(request["input"]) for request in self.server.requests)
        self.server.requests.clear()
        return count


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    if running.running:
        running.stop()


@pytest.fixture
def store(tmp_path: Path, service: Service) -> Iterator[Store]:
    """v1 behind a service, v2 here; v2 is live."""
    with vecrollback.connect(tmp_path / "store", create=True) as opened:
        opened.upsert([Document(str(n), f"note {n} about boats") for n in range(20)])
        opened.promote(opened.reembed(service.server.spec(), name="v1").wait())
        opened.promote(opened.reembed("hash:64?seed=2", name="v2").wait())
        opened.notices.use(Policy(channels=(Channel("hook", "command", command=("true",)),)))
        yield opened


def texts_of(store: Store) -> list[str]:
    return [notice.body["text"] for notice in reversed(store.notices.all()) if notice.body["event"] == "model"]


def age(store: Store, seconds: float) -> None:
    """Let what is recorded of every model be so much older."""
    import datetime as dt

    for answer in store.resources.catalog.models.answers().values():
        at = dt.datetime.fromisoformat(answer.at) - dt.timedelta(seconds=seconds)
        store.resources.catalog.models.note(replace(answer, at=at.isoformat()))


def test_a_rollback_passes_over_a_pair_whose_model_is_silent_and_goes_there_when_it_is_back(
    store: Store, service: Service
) -> None:
    assert store.rollback_target().pair == "v1"
    service.stop()
    assert store.rollback_target().pair == "v1", "nobody has asked since"
    answer = store.ask_model("v1")
    assert answer.verdict == "fail"
    assert store.model_answer("v1") == answer
    with pytest.raises(NoRollbackTargetError, match="its model did not answer"):
        store.rollback(reason="bad")
    with pytest.raises(PairStateError, match="v1@1 could answer no query") as refused:
        store.restore("v1@1", reason="bad")
    assert "embedder ask v1" in refused.value.hint
    assert store.live().name == "v2"
    service.start()
    assert store.ask_model("v1").verdict == "pass"
    assert store.rollback(reason="bad").target == "v1@1"


def test_a_person_may_go_there_all_the_same(store: Store, service: Service) -> None:
    service.stop()
    store.ask_model("v1")
    assert store.rollback("v1", reason="bad", override=True, catch_up=False).target == "v1@1"
    assert store.restore("v2@1", reason="better", catch_up=False).target == "v2@1"
    assert store.restore("v1@1", reason="worse", override=True, catch_up=False).target == "v1@1"


def test_what_was_seen_long_ago_decides_nothing(store: Store, service: Service) -> None:
    service.stop()
    store.ask_model("v1")
    age(store, ANSWER_SECONDS)
    assert store.rollback_target().pair == "v1"
    [row] = [pair for pair in store.status()["pairs"] if pair["name"] == "v1"]
    assert row["model"]["answers"] == "unknown"


def test_another_model_behind_the_name_counts_as_silent(store: Store, service: Service) -> None:
    service.server.model = open_embedder(OTHER)
    answer = store.ask_model("v1")
    assert (answer.verdict, "no longer gives the vectors" in answer.said) == ("fail", True)
    service.server.model = open_embedder("hash:64?seed=5")
    assert store.ask_model("v1").verdict == "pass"


def test_asking_costs_a_few_short_texts_and_no_longer_than_a_query(store: Store, service: Service) -> None:
    store.ask_model("v1")
    service.texts()
    store.ask_model("v1")
    assert service.texts() == 4
    service.stop()
    start = time.monotonic()
    store.ask_model("v1")
    assert time.monotonic() - start < 10  # a job would try for minutes


def test_a_fresh_process_asks_without_the_probes_of_a_whole_proof(store: Store, service: Service) -> None:
    with vecrollback.connect(store.root) as later:
        service.texts()
        assert later.ask_model("v1").verdict == "pass"
    assert service.texts() == 4


def test_a_worker_asks_in_time_and_tells_once_when_a_model_falls_silent_and_once_when_it_is_back(
    store: Store, service: Service
) -> None:
    worker = Worker(store)
    worker.run_once()
    assert store.model_answer("v1").standing == "pass"
    service.stop()
    for _ in range(2):
        age(store, 301)
        worker.run_once()
    assert ["its model does not answer" in text for text in texts_of(store)] == [True]
    assert "v1 (standby)" in texts_of(store)[0]
    assert "no rollback goes there" in texts_of(store)[0]
    service.start()
    age(store, 31)
    Worker(store).run_once()  # another one: what was told is known from the catalog
    assert "answers again" in texts_of(store)[-1]
    assert len(texts_of(store)) == 2


def test_a_worker_asks_no_more_often_than_it_is_told(store: Store, service: Service) -> None:
    worker = Worker(store)
    worker.run_once()
    service.texts()
    for _ in range(5):
        worker.run_once()
        Worker(store).run_once()  # a second worker adds nothing
    age(store, 100)
    Worker(store, ask_every=0).run_once()
    assert service.texts() == 0


def test_the_way_back_of_a_promote_asks_and_a_drill_ends_where_the_model_is_silent(
    store: Store, service: Service
) -> None:
    assert store.model_answer("v1").verdict == "pass", "asked before v2 was promoted"
    service.stop()
    drill = store.drill()
    [phase] = [one for one in drill.phases if one.name == "model"]
    assert (drill.verdict, phase.ok) == ("fail", False)


def test_a_policy_may_watch_the_way_back(store: Store, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("metric = [{source = 'standby', interval = '1ms', failure_limit = 0, count = 1}]")
    assert store.watch(["boats"], policy=str(path), rounds=1).metrics == {"standby": "success"}
    service.stop()
    age(store, 301)
    watched = store.watch(["boats"], policy=str(path), rounds=1)
    assert watched.metrics == {"standby": "failure"}
    assert [decision["kind"] for decision in watched.decisions] == ["alert"]


def test_status_dry_run_and_runbook_tell_it(store: Store, service: Service) -> None:
    service.stop()
    store.ask_model("v1")
    rows = {pair["name"]: pair["model"] for pair in store.status()["pairs"]}
    assert rows["v1"]["answers"] == "fail"
    assert rows["v2"].pop("server") == {}
    assert rows["v2"] == {"kept_bytes": None, "answers": "unknown", "said": "", "asked_at": None, "seconds": None}
    assert "model did not answer at" in store.runbook()


def test_files_that_are_lost_while_the_model_is_loaded_are_noticed(tmp_path: Path, tiny: Path) -> None:
    directory = Path(shutil.copytree(tiny, tmp_path / "model"))
    with vecrollback.connect(tmp_path / "local", create=True) as store:
        store.upsert([Document("a", "a text")])
        store.reembed(str(directory), name="v1", keep_model=False).wait()
        assert store.ask_model("v1").verdict == "pass"
        shutil.rmtree(directory)
        assert "does not exist" in store.ask_model("v1").said, "a searcher that starts now could not open it"
        shutil.copytree(tiny, directory)
        assert store.keep_model("v1").bytes > 0
        shutil.rmtree(directory)
        answer = store.ask_model("v1")
        assert (answer.verdict, answer.said) == ("pass", "it answers, from the files that the store keeps")


def test_an_embedder_that_raises_anything_is_silent_and_one_that_cannot_be_tried_here_is_unknown(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no")

    monkeypatch.setattr(PairEmbedders, "require_source", broken)
    assert (store.ask_model("v1").verdict, store.ask_model("v1").said) == ("fail", "ZeroDivisionError: no")

    def absent(*_: object) -> None:
        raise ImportError("no module named torch")

    monkeypatch.setattr(PairEmbedders, "require_source", absent)
    assert store.ask_model("v1").verdict == "unknown"
    assert store.rollback_target().pair == "v1", "only who was asked and was silent is passed over"
