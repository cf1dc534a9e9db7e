"""Words answer alone and together with vectors, through a store and a server; a rollback leaves them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from vecrollback import Client, Document, Store, connect
from vecrollback.errors import UsageError

MODEL, OTHER = "hash:64?seed=3", "hash:64?seed=4"
DOCUMENTS = [
    Document(f"d{n:02}", f"{('apples', 'pears', 'plums')[n % 3]} in crate number {n}", {"n": n}) for n in range(30)
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with connect(tmp_path / "store", create=True, embedder=MODEL) as store:
        store.upsert([*DOCUMENTS, Document("code", "error E-4711 of the press", {"n": 99})], visible=True)
        store.upsert([Document("d01", "pears of a tenant")], visible=True, namespace="kb-7")
    return tmp_path / "store"


def test_words_answer_without_a_pair(door: Store | Client) -> None:
    result = door.search("pears E-4711", 40, mode="keyword")
    assert (result.pair, result.mode, result.answered_by) == ("", "keyword", "keyword")
    assert result.hits[0].id == "code"
    assert {hit.id for hit in result.hits} == {"code", *(d.id for d in DOCUMENTS if "pears" in d.text)}
    assert result.hits[0].text == "error E-4711 of the press"
    assert [hit.id for hit in door.search("pears", 40, "n < 5", mode="keyword").hits] == ["d01", "d04"]
    assert [hit.text for hit in door.search("pears", 40, namespace="kb-7", mode="keyword").hits] == [
        "pears of a tenant"
    ]
    assert "no document holds" in door.search("zzz", mode="keyword").reason
    several = door.search(["apples", "zzz"], 3, mode="keyword")
    assert [len(one.hits) for one in several] == [3, 0]


def test_both_together_rank_by_reciprocal_rank(door: Store | Client) -> None:
    words = [hit.id for hit in door.search("plums in crate 4711", 50, mode="keyword").hits]
    near = [hit.id for hit in door.search("plums in crate 4711", 50).hits]
    wanted: dict[str, float] = {}
    for answer in (near, words):
        for rank, id_ in enumerate(answer, 1):
            wanted[id_] = wanted.get(id_, 0.0) + 1 / (60 + rank)
    result = door.search("plums in crate 4711", 8, mode="hybrid")
    assert (result.pair, result.mode, result.answered_by) == ("hash-64", "hybrid", "pair")
    assert [hit.id for hit in result.hits] == sorted(wanted, key=lambda id_: (-wanted[id_], id_))[:8]
    assert [hit.score for hit in result.hits] == pytest.approx([wanted[hit.id] for hit in result.hits])
    assert all(hit.chunk == 0 for hit in result.hits if hit.id in near)
    tenant = door.search("plums and pears", 8, namespace="kb-7", mode="hybrid").hits
    assert [(hit.id, hit.namespace) for hit in tenant] == [("d01", "kb-7")]
    with pytest.raises(UsageError):
        door.search("a", mode="fuzzy")


def test_a_rollback_leaves_the_words_alone_and_they_work_without_any_model(place: Path, tmp_path: Path) -> None:
    with connect(place) as store:
        store.promote(store.reembed(OTHER, name="v2").wait(), reason="newer")
        before = store.search("E-4711 pears", mode="keyword")
        store.rollback(reason="worse")
        after = store.search("E-4711 pears", mode="keyword")
        assert (after.hits, after.cache_key) == (before.hits, before.cache_key)
        assert store.search("E-4711", mode="hybrid").pair == "hash-64"
    with connect(tmp_path / "no-pair", create=True) as store:
        store.upsert(DOCUMENTS[:3])
        assert [hit.id for hit in store.search("plums", mode="keyword").hits] == ["d02"]
        both = store.search("plums", mode="hybrid")
        assert ([hit.id for hit in both.hits], both.pair, both.reason) == (["d02"], "", "")
        store.upsert([Document("late", "plums at last")])
        store.delete(["d02"])
        assert [hit.id for hit in store.search("plums", mode="keyword").hits] == ["late"]
