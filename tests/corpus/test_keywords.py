"""Words are found in every document, at the head of the log, whatever the query looks like; deletes win."""

from __future__ import annotations

import math
import multiprocessing
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from vecrollback import Document, Store, connect
from vecrollback.corpus.keywords import FILE, KeywordIndex
from vecrollback.errors import StorageUnavailableError

WORDS = ("apple", "pear", "plum", "quince", "medlar", "sloe", "cherry", "fig")
TEXTS = {
    f"d{n}": " ".join(WORDS[(n * step) % len(WORDS)] for step in range(1, 4 + n % 9)) + f" crate{n}" for n in range(60)
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "store"
    with connect(root, create=True) as opened:
        opened.upsert([Document(id_, text) for id_, text in TEXTS.items()])
    return root


@pytest.fixture
def index(store: Store) -> Iterator[KeywordIndex]:
    opened = KeywordIndex(store.resources.corpus, store.resources.cache)
    yield opened
    opened.close()


def _bm25(query: str) -> dict[str, float]:
    """As Robertson and Zaragoza write it, with the constants of FTS5: k1 1.2, b 0.75."""
    documents = {id_: Counter(re.findall(r"\w+", text)) for id_, text in TEXTS.items()}
    mean = sum(sum(one.values()) for one in documents.values()) / len(documents)
    scores: dict[str, float] = {}
    for word in query.split():
        holding = sum(word in one for one in documents.values())
        weight = max(math.log((len(documents) - holding + 0.5) / (holding + 0.5)), 1e-6)
        for id_, one in documents.items():
            if word in one:
                length = 1.2 * (0.25 + 0.75 * sum(one.values()) / mean)
                scores[id_] = scores.get(id_, 0.0) + weight * one[word] * 2.2 / (one[word] + length)
    return scores


@pytest.mark.parametrize("k", [1, 3, 10, 60])
@pytest.mark.parametrize(
    "query", ["pear crate7 apple", "apple crate1 crate2 crate3 plum", "pear apple", "apple crate9"]
)
def test_words_of_most_documents_change_no_ranking(index: KeywordIndex, query: str, k: int) -> None:
    """They are asked only where the others find too little; what they are worth is far below any other word."""
    scores = _bm25(query)
    assert any(sum(word in one.split() for one in TEXTS.values()) > len(TEXTS) / 2 for word in query.split())
    hits = index.search(query, k)
    assert len(hits) == min(k, len(scores))
    best = sorted(scores.values(), reverse=True)
    for hit, value in zip(hits, best, strict=False):
        assert hit.score == pytest.approx(value, abs=1e-5)
        assert scores[hit.key] == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("query", ["quince crate7", "medlar", "fig sloe", "crate1 crate2 crate3"])
def test_documents_are_ranked_by_bm25(index: KeywordIndex, query: str) -> None:
    wanted = _bm25(query)
    hits = index.search(query, 100)
    assert {hit.key for hit in hits} == set(wanted)
    for hit in hits:
        assert hit.score == pytest.approx(wanted[hit.key], rel=1e-6)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert index.search(query, 2) == hits[:2]


def test_what_is_written_is_found_and_what_is_deleted_never(store: Store, index: KeywordIndex) -> None:
    store.upsert([Document("new", "persimmon"), Document("d1", "greengage instead")])
    assert [hit.key for hit in index.search("persimmon", 9)] == ["new"]
    assert "d1" not in [hit.key for hit in index.search("crate1", 9)]
    assert [hit.key for hit in index.search("greengage", 9)] == ["d1"]
    store.delete(["d1", "new"])
    assert index.search("greengage persimmon", 9) == []
    store.upsert([Document("new", "persimmon again")])
    assert [hit.key for hit in index.search("persimmon", 9)] == ["new"]


def test_only_allowed_documents_of_the_namespace_are_found(store: Store, index: KeywordIndex) -> None:
    store.upsert([Document("d1", "crate1 of a tenant")], namespace="kb-7")
    assert [hit.key for hit in index.search("crate1", 9)] == ["d1"]
    assert [hit.key for hit in index.search("crate1", 9, namespace="kb-7")] == ["kb-7\x1fd1"]
    assert index.search("crate1", 9, namespace="kb") == []
    allowed = pa.array(["d7", "d58"], pa.string())
    assert {hit.key for hit in index.search("crate7 crate58 crate9", 1, allowed=allowed)} <= {"d7", "d58"}
    assert {hit.key for hit in index.search("apple pear plum crate7 crate58", 99, allowed=allowed)} == {"d7", "d58"}


@pytest.mark.parametrize(
    "query",
    ['"', "*", "NEAR(a b)", "crate1 OR", "text : x", "^x", "-crate1", "a\0b", "'; DROP TABLE words", "( AND )", ""],
)
def test_nothing_in_a_query_is_an_operator(index: KeywordIndex, query: str) -> None:
    hits = index.search(query, 9)
    assert [hit.key for hit in hits] == (["d1"] if "crate1" in query else [])


def test_case_and_accents_do_not_matter(store: Store, index: KeywordIndex) -> None:
    store.upsert([Document("u", "Größe Äpfel café")])
    for query in ("GRÖSSE apfel", "äpfel", "CAFE"):
        assert [hit.key for hit in index.search(query, 9)] == ["u"]


def test_what_the_model_gets_beside_the_text_is_found_too(store: Store, index: KeywordIndex) -> None:
    store.upsert([Document("t", "It is steeped.", embedded_text="Sencha")])
    for query in ("sencha", "steeped"):
        assert [hit.key for hit in index.search(query, 9)] == ["t"]


def test_a_purge_takes_the_file_away_and_the_next_search_writes_it_anew(store: Store, index: KeywordIndex) -> None:
    store.upsert([Document("secret", "unforgettableword")])
    assert index.search("unforgettableword", 9)
    store.delete(["secret"])
    store.compact(purge=True)
    assert not (store.resources.cache / FILE).exists()
    assert index.search("unforgettableword", 9) == []
    assert [hit.key for hit in index.search("crate5", 9)] == ["d5"]
    index.close()
    assert b"unforgettableword" not in (store.resources.cache / FILE).read_bytes()


def test_a_damaged_file_is_told_and_written_anew(store: Store, index: KeywordIndex) -> None:
    index.search("crate5", 9)
    index.close()
    (store.resources.cache / FILE).write_bytes(b"not a database at all" * 1_000)
    with pytest.raises(StorageUnavailableError, match="damaged"):
        index.search("crate5", 9)
    assert [hit.key for hit in index.search("crate5", 9)] == ["d5"]


def test_threads_and_processes_share_one_file(store: Store, index: KeywordIndex) -> None:
    answers: list[list[str]] = []

    def ask() -> None:
        answers.append([hit.key for hit in index.search("crate5", 9)])

    threads = [threading.Thread(target=ask) for _ in range(6)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for thread in threads:
            thread.start()
        others = pool.map(_ask_elsewhere, [store.uri] * 4)
    for thread in threads:
        thread.join()
    assert answers == [["d5"]] * 6
    assert others == [["d5"]] * 4


def _ask_elsewhere(uri: str) -> list[str]:
    with connect(uri) as store:
        return [hit.id for hit in store.search("crate5", mode="keyword").hits]
