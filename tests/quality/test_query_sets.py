"""Queries that measure a pair come from every namespace, and are asked where their documents are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import vecrollback
from tests.support.topics import TOPICS, documents, query
from vecrollback import Store
from vecrollback.quality.evaluation.query_sets import choose_queries
from vecrollback.records import GoldenQuery
from vecrollback.serving.open_pairs import BorrowedPairs

GOOD, BAD = "hash:128?seed=1", "hash:128?seed=1&noise=2"
TENANTS = ("kb-7", "kb-8")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tenants own the same texts under the same ids; nothing lies outside of their namespaces."""
    root = tmp_path_factory.mktemp("tenants") / "store"
    with vecrollback.connect(root, create=True) as store:
        for tenant in TENANTS:
            store.upsert(documents(300), namespace=tenant)
        for name, spec in (("bad", BAD), ("good", GOOD)):
            store.reembed(spec, name=name, index="Flat").wait()
    return root


def golden() -> list[GoldenQuery]:
    return [
        GoldenQuery(f"q{topic}", query(topic), {f"t{n}": 1 for n in range(topic, 300, TOPICS)})
        for topic in range(TOPICS)
    ]


def test_a_generated_query_is_asked_in_the_namespace_of_its_document(store: Store) -> None:
    queries = choose_queries(store.resources.catalog, store.resources.corpus, generated=40, seed=2)
    assert queries.kind == "generated"
    assert set(Counter(queries.namespaces)) == set(TENANTS)
    pairs = BorrowedPairs(store.resources)
    with pairs.pairs("good") as [good]:
        answers = queries.search(good.view, good.queries.embed(queries.texts))
    pairs.close()
    for namespace, hits in zip(queries.namespaces, answers, strict=True):
        assert len(hits) == 10
        assert {hit.namespace for hit in hits} == {namespace}
    assert queries.ndcg(answers).mean() > 0.8  # of all namespaces together each has a twin that nobody can tell apart


def test_a_golden_query_is_asked_of_all_namespaces(store: Store) -> None:
    store.resources.catalog.golden.put(golden())
    queries = choose_queries(store.resources.catalog, store.resources.corpus, generated=40, seed=2)
    assert (queries.kind, set(queries.namespaces)) == ("golden", {None})
    pairs = BorrowedPairs(store.resources)
    with pairs.pairs("good") as [good]:
        answers = queries.search(good.view, good.queries.embed(queries.texts))
    pairs.close()
    assert {hit.namespace for hits in answers for hit in hits} == set(TENANTS)
    assert queries.ndcg(answers).min() >= 0
    assert queries.ndcg(answers).mean() > 0.3


def test_of_more_golden_queries_than_are_asked_some_are_drawn_and_not_the_oldest(store: Store) -> None:
    catalog, corpus = store.resources.catalog, store.resources.corpus
    catalog.golden.put(golden())
    drawn = [
        [one.id for one in choose_queries(catalog, corpus, generated=40, most=30, seed=seed).queries]
        for seed in (1, 1, 2)
    ]
    everything = [one.id for one in catalog.golden.all()]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 30
    assert drawn[0] != everything[:30]
    assert drawn[0] == sorted(drawn[0], key=everything.index)


def test_where_every_document_has_a_namespace_bridges_and_cascades_are_measured_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecrollback.store.cascades.random.randrange", lambda _: 1)  # of the trial's order
    worth = store.bridge("bad", "good", seed=1).worth
    assert (worth.kind, worth.queries) == ("generated", 150)
    assert worth.own is not None
    assert worth.stay is not None
    assert worth.own > worth.stay > 0
    store.promote("bad")
    store.resources.catalog.golden.put(
        [
            GoldenQuery(f"g{n}", " ".join(one.text.split()[:8]), {one.id: 1})
            for n, one in enumerate(documents(300)[:100])
        ]
    )
    assert store.promote("next", by="cascade", embedder="hash:256?seed=3").target == "next@1"
    trial = store.cascades()[0].trial
    assert (trial.kind, trial.verdict) == ("golden", "pass")
    assert sum(trial.new) / len(trial.new) > 0.5


def test_a_cascade_is_tried_with_generated_queries_where_they_belong(store: Store) -> None:
    store.promote("good")
    with pytest.raises(vecrollback.errors.GateRefusedError, match="generated queries"):
        store.promote("next", by="cascade", embedder="hash:32?seed=3&noise=4")
