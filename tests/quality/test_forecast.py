"""A sample tells whether a model is better, embeds no more than that, and writes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import vecrollback
from tests.support.topics import TOPICS, documents, query
from vecrollback import Store
from vecrollback.errors import UsageError
from vecrollback.records import GoldenQuery

GOOD, BAD = "hash:128?seed=1", "hash:128?seed=1&noise=3"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forecast") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert(documents(1_000))
        for name, spec in (("bad", BAD), ("good", GOOD)):
            store.reembed(spec, name=name, index="Flat").wait()
            store.promote(name)
    return root


def test_a_worse_model_is_not_worth_it_and_a_better_one_is(store: Store) -> None:
    down = store.forecast(BAD, sample="20%", seed=1)
    assert (down.verdict, down.live, down.kind) == ("stay", "good@1", "generated")
    assert down.sample <= 200
    assert down.difference.high < 0
    store.rollback(reason="to look up from below", catch_up=False)
    up = store.forecast(GOOD, sample="20%", seed=1)
    assert up.verdict == "upgrade"
    assert up.difference.low > 0
    assert up.sentence.startswith("upgrade: nDCG@10 ")
    assert up.tokens > 0
    assert up.dollars is None


def test_the_same_model_is_no_upgrade_and_nothing_is_written(store: Store) -> None:
    before = store.status()
    same = store.forecast(GOOD, sample="100", seed=1)
    assert same.verdict == "unknown"
    assert same.difference.difference == pytest.approx(0, abs=1e-6)
    assert same.overlap == 1
    assert same.sample == 100
    assert store.status() == before


def test_golden_queries_decide_where_there_are_enough(store: Store) -> None:
    golden = [GoldenQuery(f"q{topic}", query(topic), {f"t{topic}": 1}) for topic in range(TOPICS)]
    store.resources.catalog.golden.put(golden)
    assert store.forecast(BAD, sample="20%", seed=1).kind == "golden"


def test_too_small_a_sample_says_so(store: Store) -> None:
    with pytest.raises(UsageError, match="a sample of 10 documents is too small"):
        store.forecast(BAD, sample="1%")
    with pytest.raises(UsageError, match="not a valid budget"):
        store.forecast(BAD, sample="some")


def test_slices_say_for_which_queries_it_is_so(store: Store) -> None:
    store.upsert(
        [
            replace(one, text=one.text * (1 + n % 3), metadata={"lang": "de" if n % 2 else "en"})
            for n, one in enumerate(documents(1_000))
        ]
    )
    store.catch_up("good")
    found = store.forecast(BAD, sample="20%", seed=1)
    assert [(one.by, one.value) for one in found.slices[:2]] == [("language", "de"), ("language", "en")]
    assert [one.by for one in found.slices[2:]] == ["length", "length"]
    for by in ("language", "length"):
        parts = [one.difference for one in found.slices if one.by == by]
        assert sum(one.queries for one in parts) == found.queries
        whole = sum(one.difference * one.queries for one in parts) / found.queries
        assert whole == pytest.approx(found.difference.difference, abs=1e-6)


def test_slices_by_namespace_say_whom_a_model_does_not_understand(store: Store) -> None:
    """Three namespaces, one of them in a language that the model is deaf to, and one that is too small for a slice."""
    strange = [replace(one, text=one.text.replace(" ", "qqq ")) for one in documents(400, seed=3)]
    store.upsert(documents(400, seed=2), namespace="kb-7")
    store.upsert(strange, namespace="kb-8")
    store.upsert(documents(20, seed=4), namespace="small")  # fewer queries come from it than a slice needs
    store.catch_up("good")
    found = store.forecast("tests.support.models:deaf", sample="20%", seed=1)
    assert found.documents == 1_820
    slices = {one.value: one.difference for one in found.slices if one.by == "namespace"}
    assert slices.keys() == {"", "kb-7", "kb-8"}
    assert found.queries - sum(one.queries for one in slices.values()) < 10
    for namespace in ("", "kb-7"):
        assert slices[namespace].difference == pytest.approx(0, abs=0.02)
    assert slices["kb-8"].high < 0


def test_golden_queries_name_documents_of_any_namespace_by_their_ids(store: Store) -> None:
    store.delete([one.id for one in documents(1_000)])
    store.upsert(documents(600, seed=2), namespace="kb-7")
    store.upsert([replace(one, id=f"k{one.id}") for one in documents(600, seed=3)], namespace="kb-8")
    store.catch_up("good")
    asked = [*documents(40, seed=2), *(replace(one, id=f"k{one.id}") for one in documents(40, seed=3))]
    store.resources.catalog.golden.put(
        [GoldenQuery(f"q{n}", " ".join(one.text.split()[:9]), {one.id: 1}) for n, one in enumerate(asked)]
    )
    found = store.forecast(BAD, sample="20%", seed=1)
    assert (found.kind, found.queries, found.verdict) == ("golden", 80, "stay")
    assert found.difference.a > 0.5
    slices = {one.value: one.difference for one in found.slices if one.by == "namespace"}
    assert {name: one.queries for name, one in slices.items()} == {"kb-7": 40, "kb-8": 40}


def test_what_was_embedded_for_it_is_kept_on_wish_and_not_embedded_again(store: Store) -> None:
    model = "hash:96?seed=5"
    found = store.forecast(model, sample="20%", seed=1, keep="next")
    assert store.pair("next").state == "building"
    job = store.reembed(model, name="next", index="auto")
    job.wait()
    chunks = store.job(job.id).progress["chunks"]
    assert chunks == 1_000 - found.sample
    assert store.check("next", seed=1).verdict == "pass"
    again = store.forecast("next", sample="20%", seed=1)
    assert again.difference == found.difference
