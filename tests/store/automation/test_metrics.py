"""What a policy may name as a source, and what measures it, are one list."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from vecrollback import Document, Store
from vecrollback.records import document_key
from vecrollback.store.automation.watch.evaluation import LiveState, Reading
from vecrollback.store.automation.watch.metrics import METRICS, MetricReader, metric
from vecrollback.store.automation.watch.pair_answers import PairAnswers
from vecrollback.store.automation.watch.traffic import SyntheticTraffic
from vecrollback.switching.policy import read_policy
from vecrollback.switching.policy.model import SOURCES


def test_every_source_of_a_policy_is_measured_and_nothing_else_is() -> None:
    assert METRICS.keys() == SOURCES.keys()


def test_a_source_is_measured_by_one_function() -> None:
    with pytest.raises(ValueError, match="'lag' is measured twice"):
        metric("lag")(lambda _reader, _moment: Reading(0.0))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as opened:
        opened.upsert([Document(f"d{n}", f"note {n} on boats") for n in range(20)])
        opened.reembed("hash:32", name="one").wait()
        opened.check("one")
        opened.promote("one")
    return root


POLICY = """
[objectives]
latency = "50ms"
[[metric]]
source = "NAME"
FURTHER
"""


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_every_source_gives_a_reading_of_a_store_that_serves(store: Store, source: str, tmp_path: Path) -> None:
    """A value or the reason why there is none, never an error."""
    further = {
        "prometheus": 'query = "up"\naddress = "http://127.0.0.1:9"\nfailure = "> 5"',
        "pushed": 'key = "clicks"\nfailure = "> 5"',
        "cost": 'failure = "> 5"',
    }
    file = tmp_path / "policy.toml"
    file.write_text(POLICY.replace("NAME", source).replace("FURTHER", further.get(source, "")))
    policy = read_policy(file)
    traffic = SyntheticTraffic([f"note {n}" for n in range(8)], store.search)
    traffic.refresh()
    answers = PairAnswers(store.resources)
    now = LiveState(epoch=1, pair="one", kind="promote", moved_at=0.0)
    reading = MetricReader(store, policy, traffic, answers, store.search).read(policy.rules[0], now, None)
    measured = {"error_rate": 0.0, "health": 1.0, "lag": 0.0}
    if source in measured:
        assert reading.value == measured[source]
    if source == "prometheus":
        assert reading.value is None
        assert "127.0.0.1:9" in reading.said


def test_an_id_of_two_namespaces_is_two_documents(store: Store) -> None:
    store.upsert([Document("d1", "note 1 on boats", namespace=name) for name in ("shop", "other shop")])
    store.catch_up("one")
    answers = PairAnswers(store.resources)
    [fact] = answers.on(["note 1 on boats"], "one").values()
    answers.close()
    assert len(set(fact.keys)) == len(fact.keys)
    assert sum(document_key("d1", name) in fact.keys for name in ("", "shop", "other shop")) == 3
