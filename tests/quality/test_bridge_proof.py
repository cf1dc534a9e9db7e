"""What a bridge is worth is measured with real queries: golden ones where there are enough, else generated ones.

Covers quality.evaluation.generated_queries.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import vecrollback
from tests.support.openai_server import OpenAIServer
from tests.support.topics import TOPICS, documents, query
from vecrollback import Document, Store
from vecrollback.errors import StoppedError
from vecrollback.quality.evaluation.generated_queries import generate_queries
from vecrollback.records import BridgeWorth, GoldenQuery, Progress, document_key

GOOD, BAD = "hash:128?seed=1", "hash:128?seed=1&noise=2"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("proof") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert(documents(400))
        for name, spec in (("good", GOOD), ("bad", BAD)):
            store.reembed(spec, name=name, index="Flat").wait()
    return root


def golden() -> list[GoldenQuery]:
    right = {topic: {f"t{n}": 1 for n in range(topic, 400, TOPICS)} for topic in range(TOPICS)}
    return [GoldenQuery(f"q{topic}", query(topic), right[topic]) for topic in range(TOPICS)]


def test_where_the_source_answers_better_the_verdict_is_to_stay(store: Store) -> None:
    store.resources.catalog.golden.put(golden())
    from_good, from_bad = store.bridge("good", "bad", seed=1), store.bridge("bad", "good", seed=1)
    assert (from_good.worth.kind, from_good.worth.queries) == ("golden", TOPICS)
    assert from_good.verdict == "stay"
    assert f"against {from_good.worth.stay:.3f} of staying (40 golden queries)" in from_good.sentence
    assert from_good.worth.gain == (from_good.worth.bridged or 0) - (from_good.worth.stay or 0)
    low, high = from_good.worth.gain_low or 0, from_good.worth.gain_high or 0
    assert low < from_good.worth.gain < high < 0
    assert from_good.sentence.endswith(f"{from_good.worth.gain:+.3f} (95%: {low:+.3f} to {high:+.3f})")
    # what both measure is the same thing seen from two sides
    assert from_bad.worth.own == from_good.worth.stay
    assert from_bad.worth.stay == from_good.worth.own
    assert from_bad.worth.gain_low is not None
    assert (from_bad.worth.verdict == "bridge") == (from_bad.worth.gain_low > 0)


def test_what_only_seems_better_is_not_known_and_what_is_shown_decides() -> None:
    def verdict(bridged: float, low: float | None, high: float | None) -> str:
        return BridgeWorth(0.5, 50, 300, 40, "golden", 0.6, bridged, 0.5, low, high).verdict

    assert verdict(0.53, -0.01, 0.07) == "unknown"
    assert verdict(0.47, -0.07, 0.01) == "unknown"
    assert verdict(0.53, 0.01, 0.05) == "bridge"
    assert verdict(0.47, -0.05, -0.01) == "stay"
    # written by a version that knew no interval
    assert (verdict(0.5, None, None), verdict(0.49, None, None)) == ("bridge", "stay")
    assert BridgeWorth(0.5, 50, 300).verdict == "unknown"


def test_without_golden_queries_they_are_generated_and_it_says_so(store: Store) -> None:
    worth = store.bridge("bad", "good", seed=1).worth
    assert (worth.kind, worth.queries) == ("generated", 150)
    assert worth.own is not None
    assert worth.bridged is not None


def test_a_target_whose_model_is_gone_is_measured_without_its_own_quality(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert(documents(300))
        store.reembed(GOOD, name="good", index="Flat").wait()
        with OpenAIServer(64) as server:
            store.reembed(server.spec(query_retries=0, max_retries=0), name="served", index="Flat").wait()
    with vecrollback.connect(tmp_path / "store") as store:
        bridge = store.bridge("good", "served", seed=1)
        assert bridge.worth.own is None
        assert bridge.worth.bridged is not None
        assert bridge.worth.gain_low is not None
        with pytest.raises(vecrollback.errors.EmbeddingError):
            store.bridge("served", "good")


def test_generated_queries_are_parts_of_living_documents(store: Store) -> None:
    store.delete(["t5"])
    store.upsert(
        [
            Document("short", "two words"),
            Document("t6", ""),
            Document("inside", "words of one namespace", namespace="a"),
        ]
    )
    texts = {document.id: document.text for document in documents(400)}
    queries = generate_queries(store.resources.corpus, 60, seed=3)
    assert len(queries) == 60
    for one in queries:
        [id_] = one.expected
        assert id_ not in ("t5", "short", "t6")
        words = texts[id_].replace(".", "").split()
        assert set(one.text.split()) <= set(words)
        assert 3 <= len(one.text.split()) <= 12
    everything = generate_queries(store.resources.corpus, 1_000, seed=3)
    assert len(everything) == 399
    assert [one for query in everything for one in query.expected if query.text.startswith("words of")] == [
        document_key("inside", "a")
    ]


def test_whoever_hears_the_progress_of_a_bridge_ends_it_at_any_stage(store: Store) -> None:
    stages: list[str] = []
    store.bridge("good", "bad", seed=1, progress=lambda state: stages.append(state.phase))
    kept = store.bridges()
    whole = list(dict.fromkeys(stages))
    assert [one.rpartition(" ")[2] for one in whole[-2:]] == ["good", "bad"]  # whose models are asked
    for last in whole:

        def stop(state: Progress, last: str = last) -> None:
            if state.phase == last:
                raise StoppedError(f"enough of {last}")

        with pytest.raises(StoppedError, match=last):
            store.bridge("good", "bad", seed=1, progress=stop)
        assert store.bridges() == kept
