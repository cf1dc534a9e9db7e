"""Law 9, all the time: a model that changes under its name is found before anything it made counts.

The model is behind a real HTTP service whose weights are exchanged while a store is open, as a provider does.

Covers embedders.riding_probes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.openai_server import OpenAIServer
from vecrollback import Document, Store
from vecrollback.embedders import open_embedder, riding_probes
from vecrollback.errors import EmbedderChangedError
from vecrollback.pairs.vectors import newest
from vecrollback.records import Effort
from vecrollback.store.automation.worker import Worker

OWN, OTHER = "hash:64?seed=5", "hash:64?seed=6"
TEXTS = {f"d{n}": f"the boat number {n} leaves the harbour at {n % 24} o'clock" for n in range(90)}


@pytest.fixture
def service() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path, service: OpenAIServer) -> Iterator[Store]:
    with vecrollback.connect(tmp_path / "store", create=True) as opened:
        opened.upsert([Document(id_, text) for id_, text in TEXTS.items()])
        opened.promote(opened.reembed(service.spec(), name="v1").wait())
        yield opened


@pytest.fixture
def proofs_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after ten seconds."""
    monkeypatch.setattr(riding_probes, "PROOF_SECONDS", -1.0)
    monkeypatch.setattr("vecrollback.pairs.embedders.PROOF_SECONDS", -1.0)


def swap(service: OpenAIServer, spec: str) -> None:
    service.model = open_embedder(spec)


def foreign(store: Store) -> list[str]:
    """Documents of v1 with a vector that its own model did not make, by the oracle, whatever the store says."""
    pair = store.pair("v1")
    vectors, own = store.resources.vectors_of(pair), open_embedder(OWN)
    keys, stored = vectors.keys(pair.vectors_version).to_pylist(), vectors.vectors(pair.vectors_version)
    wrong = []
    for number in newest(vectors.keys(pair.vectors_version), {}).tolist():
        key = keys[number]
        [document] = store.get([key["doc_id"]]).values()
        chunk = document.text[key["start"] : key["end"]]
        if not np.allclose(own.embed_documents([chunk])[0], stored[number], atol=1e-5):
            wrong.append(key["doc_id"])
    return wrong


def test_a_worker_writes_nothing_that_another_model_made_and_goes_on_when_its_own_is_back(
    store: Store, service: OpenAIServer
) -> None:
    worker = Worker(store)
    swap(service, OTHER)
    store.upsert([Document("new", "a boat that nobody has seen before"), Document("d1", "changed: it sank")])
    done = worker.run_once()
    assert (done.failures, done.embedded) == (1, 0)
    assert store.lag("v1") == 2
    assert foreign(store) == ["d1"], "its old vector, of the text it had"
    swap(service, OWN)
    assert worker.run_once().embedded == 2
    assert store.lag("v1") == 0
    assert foreign(store) == []


def test_a_swap_at_any_moment_of_a_job_lets_no_vector_of_the_other_model_in(
    store: Store, service: OpenAIServer
) -> None:
    for round_ in range(4):  # which of its requests the other model answers first
        store.upsert([Document(f"r{round_}-{n}", f"round {round_}, boat {n}, {'x' * n}") for n in range(40)])
        answered = service.answer
        left = [round_]

        def answer(request: dict, answered=answered, left=left) -> dict:
            if left[0] == 0:
                swap(service, OTHER)
            left[0] -= 1
            return answered(request)

        service.answer = answer  # type: ignore[method-assign]
        with contextlib.suppress(EmbedderChangedError):
            store.catch_up("v1", effort=Effort(engine="local:3"))
        service.answer = answered  # type: ignore[method-assign]
        swap(service, OWN)
        assert foreign(store) == [], f"round {round_}"
    store.catch_up("v1")
    assert (store.lag("v1"), foreign(store)) == (0, [])


@pytest.mark.usefixtures("proofs_are_due")
def test_check_and_repair_never_blame_or_overwrite_vectors_that_the_own_model_made(
    store: Store, service: OpenAIServer
) -> None:
    good = store.check("v1")
    assert good.verdict == "pass"
    swap(service, OTHER)
    report = store.check("v1")
    assert report.verdict != "pass"
    assert not [one for one in report.findings if one.kind == "foreign_vector"]
    with pytest.raises(EmbedderChangedError):
        store._parts.builder.rewrite(store.pair("v1"), ["d1", "d2"], store.jobs()[0].id)
    assert foreign(store) == []
    swap(service, OWN)
    assert store.check("v1").verdict == "pass"


@pytest.mark.usefixtures("proofs_are_due")
def test_answers_say_that_the_model_is_another_one_and_the_swap_back_heals(store: Store, service: OpenAIServer) -> None:
    with store.searcher(follow=False) as searcher:
        assert searcher.search("boat number 3").doubt == ""
        swap(service, OTHER)
        doubtful = searcher.search("boat number 4")
        assert "no longer gives the vectors" in doubtful.doubt
        assert searcher.doubt == doubtful.doubt
        swap(service, OWN)
        assert searcher.search("boat number 5").doubt == searcher.doubt == ""


def test_queries_carry_probes_seldom(store: Store, service: OpenAIServer) -> None:
    with store.searcher(follow=False) as searcher:
        searcher.search("warm")
        service.requests.clear()
        for number in range(50):
            searcher.search(f"boat {number}")
    assert sum(len(request["input"]) for request in service.requests) <= 52


def test_the_same_string_after_a_swap_is_another_embedder_that_takes_no_vector_over(
    store: Store, service: OpenAIServer
) -> None:
    swap(service, OTHER)
    service.requests.clear()
    pair = store.reembed(service.spec(), name="v2").wait()
    assert set(TEXTS.values()) <= {text for request in service.requests for text in request["input"]}
    assert pair.embedder.endswith("generation=2")
    assert pair.fingerprint != store.pair("v1").fingerprint
    store.promote(pair, override=True, reason="v1's model is gone")
    assert store.search("boat number 3").doubt == ""
    again = store.reembed(service.spec(), name="v2").wait()
    assert (again.name, again.fingerprint) == ("v2", pair.fingerprint), "the same string resumes what it began"
    swap(service, OWN)
    assert store.reembed(service.spec(), name="v1").wait().name == "v1"


def texts_of(service: OpenAIServer) -> int:
    """Texts that the service was asked for since the last call of this."""
    count = sum(len(request["input"]) for request in service.requests)
    service.requests.clear()
    return count


def test_a_process_that_starts_soon_after_a_proof_sends_no_probes(
    store: Store, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(riding_probes, "PROOF_SECONDS", 600.0)  # however slow this machine is
    for alone in (False, True, True):
        service.requests.clear()
        with vecrollback.connect(store.root) as fresh:
            assert fresh.search("boat number 3").doubt == ""
        assert all(request["input"] == ["boat number 3"] for request in service.requests) == alone


@pytest.mark.usefixtures("proofs_are_due")
def test_a_swap_right_after_a_proof_is_found_by_the_first_query_batch_and_check_of_a_fresh_process(
    store: Store, service: OpenAIServer
) -> None:
    with vecrollback.connect(store.root) as fresh:
        fresh.search("boat number 3")
    swap(service, OTHER)
    store.upsert([Document("new", "a boat that nobody has seen before")])
    service.requests.clear()
    with vecrollback.connect(store.root) as fresh:
        assert "no longer gives the vectors" in fresh.search("boat number 4").doubt
        assert texts_of(service) == 3, "the query and two probes"
    with vecrollback.connect(store.root) as fresh:
        with pytest.raises(EmbedderChangedError):
            fresh.catch_up("v1")
        assert fresh.check("v1").verdict != "pass"
    assert foreign(store) == []


def test_a_proof_by_another_host_or_long_ago_is_none(
    store: Store, service: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.ask_model("v1")
    for name, value in (("_START_SECONDS", 0.0), ("socket.gethostname", lambda: "elsewhere")):
        service.requests.clear()
        with monkeypatch.context() as patch, vecrollback.connect(store.root) as fresh:
            patch.setattr(f"vecrollback.pairs.embedders.{name}", value)
            fresh.search("boat number 3")
        assert texts_of(service) > 60
