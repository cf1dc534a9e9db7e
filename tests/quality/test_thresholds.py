"""A score threshold is translated from one pair to another, with its error, and a promote offers it.

Covers quality.thresholds.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import vecrollback
from tests.support.topics import TOPICS, documents, query
from vecrollback import Store
from vecrollback.client import responses
from vecrollback.errors import UsageError
from vecrollback.quality.thresholds import best_threshold, setting_of
from vecrollback.records import GoldenQuery
from vecrollback.store import payloads

SCORE = 0.35


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("thresholds") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert(documents(400))
        store.reembed("hash:128?seed=1", name="v1", index="Flat", settings={"score_threshold": SCORE}).wait()
        store.reembed("hash:64?seed=2&noise=0.3", name="v2", index="Flat").wait()
        store.promote("v1")
    return root


def golden() -> list[GoldenQuery]:
    right = {topic: {f"t{n}": 1 for n in range(topic, 400, TOPICS)} for topic in range(TOPICS)}
    return [GoldenQuery(f"q{topic}", query(topic), right[topic]) for topic in range(TOPICS)]


def test_the_golden_queries_say_which_score_keeps_the_answers(store: Store) -> None:
    store.resources.catalog.golden.put(golden())
    found = store.translate_threshold("v1", "v2", seed=1)
    assert (found.a, found.b, found.threshold, found.kind, found.queries) == ("v1", "v2", SCORE, "golden", TOPICS)
    assert found.low <= found.translated <= found.high
    before, after = _over(store, SCORE, found.translated)
    _, untranslated = _over(store, SCORE, SCORE)
    same = len(before & after) / len(before | after)
    assert same > len(before & untranslated) / len(before | untranslated)
    assert found.same == pytest.approx(same, abs=0.1)
    assert found.answers == len(before)


def test_without_golden_queries_texts_that_both_hold_are_asked_for(store: Store) -> None:
    found = store.translate_threshold("v1", "v2", 0.5, seed=1)
    assert (found.kind, found.queries) == ("documents", 300)
    assert 0 < found.same <= 1
    assert "300 documents as queries" in found.sentence
    back = store.translate_threshold("v2", "v1", found.translated, seed=1)
    assert back.low - 0.05 <= 0.5 <= back.high + 0.05  # and back again


def test_a_promote_offers_it_in_its_result_and_over_the_wire(store: Store) -> None:
    switched = store.promote("v2", override=True, reason="a test")
    assert switched.threshold is not None
    assert (switched.threshold.a, switched.threshold.b, switched.threshold.threshold) == ("v1", "v2", SCORE)
    over_the_wire = json.loads(json.dumps(payloads.switched(switched)))
    assert over_the_wire["threshold"]["sentence"] == switched.threshold.sentence
    assert responses.switched(over_the_wire).threshold == switched.threshold
    del over_the_wire["threshold"]  # a server from before
    assert responses.switched(over_the_wire).threshold is None
    assert store.rollback(reason="and back").threshold is None


def test_nothing_is_offered_where_no_threshold_is_set(store: Store) -> None:
    store.promote("v2", override=True, reason="a test")
    assert store.promote("v1", override=True, reason="v2 has none").threshold is None
    with pytest.raises(UsageError, match="hold no score threshold"):
        store.translate_threshold("v2", "v1")
    with pytest.raises(UsageError, match="no answer of 'v1' has a score of 7 or more"):
        store.translate_threshold("v1", "v2", 7.0, seed=1)


def test_scores_on_another_scale_give_the_same_answers() -> None:
    random = np.random.default_rng(3)
    scores = random.uniform(size=(60, 20))
    answers = [
        ({str(n) for n in range(20) if row[n] >= 0.8}, [(str(n), 3 * row[n] + 1) for n in np.argsort(-row)])
        for row in scores
    ]
    assert best_threshold(answers) == pytest.approx(3 * 0.8 + 1, abs=0.02)


@pytest.mark.parametrize("settings", [{}, {"score_threshold": "0.4"}, {"threshold": True}, {"prompt": 3}])
def test_what_is_not_a_number_is_no_threshold(settings: dict[str, object]) -> None:
    assert setting_of(settings) is None  # type: ignore[arg-type]


def test_the_setting_that_says_score_goes_first() -> None:
    assert setting_of({"threshold": 2, "score_threshold": 0.4}) == 0.4
    assert setting_of({"threshold": 2}) == 2.0


def _over(store: Store, *scores: float) -> list[set[tuple[str, str]]]:
    """(query, document) of every answer of v1 over the first score and of v2 over the second, of 50 at most."""
    both = [(one.id, store.inspection.compare(one.text, "v1", "v2", 50)) for one in golden()]
    return [
        {(id_, hit.id) for id_, answers in both for hit in side(answers).hits if hit.score >= score}
        for side, score in zip((lambda one: one.a, lambda one: one.b), scores, strict=True)
    ]
