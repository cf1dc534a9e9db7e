"""An answer's text is what it says: a chunk of today's text by its own characters, or the whole text, marked stale."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vecrollback
from tests.support.http_server import serving
from tests.support.oracle import EVERYTHING, embedder
from vecrollback import Document, Store
from vecrollback.records import WHOLE_TEXT, Hit

CHUNKED = {"one": "hash:32?seed=1&chunk=tokens:3:1", "two": "hash:32?seed=2&chunk=tokens:3:1"}
BEFORE = {"refunds": "Refunds: no.", "long": "one two three four five six seven eight nine ten", "still": "boats stay"}
AFTER = {"refunds": "Refunds: no later than 30 days after the purchase, in full.", "long": "ten boats"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one` is live, `two` was; both have several chunks of a document."""
    root = tmp_path_factory.mktemp("template") / "store"
    with vecrollback.connect(root, create=True) as store:
        store.upsert([Document(id_, text) for id_, text in BEFORE.items()])
        for name in ("two", "one"):
            store.reembed(CHUNKED[name], name=name, index="Flat").wait()
            store.promote(name)
    return root


def assert_says_what_it_is(hit: Hit, texts: dict[str, str], spec: str) -> None:
    today = texts[hit.id]
    if hit.stale:
        assert (hit.text, hit.chunk) == (today, WHOLE_TEXT)
    else:
        start, end = embedder(spec).chunk(today)[hit.chunk]
        assert hit.text == today[start:end]


def test_a_stale_answer_is_todays_text_whole(store: Store) -> None:
    store.upsert([Document(id_, text) for id_, text in AFTER.items()])
    hits = {hit.id: hit for hit in store.search("refunds", k=EVERYTHING).hits}
    assert {id_: hit.stale for id_, hit in hits.items()} == {"refunds": True, "long": True, "still": False}
    for hit in hits.values():
        assert_says_what_it_is(hit, BEFORE | AFTER, CHUNKED["one"])


def test_a_stale_answer_after_a_rollback_is_todays_text_whole(root: Path, store: Store) -> None:
    store.upsert([Document(id_, text) for id_, text in AFTER.items()])
    store.catch_up("one")
    store.rollback(reason="a test", catch_up=False)
    with vecrollback.connect(root) as other, other.searcher() as long_lived:
        for answers in (store.search("refunds", k=EVERYTHING), long_lived.search("refunds", k=EVERYTHING)):
            assert {hit.id for hit in answers.hits if hit.stale} == set(AFTER)
            for hit in answers.hits:
                assert_says_what_it_is(hit, BEFORE | AFTER, CHUNKED["two"])
    store.catch_up("two")
    for hit in store.search("refunds", k=EVERYTHING).hits:
        assert not hit.stale
        assert_says_what_it_is(hit, BEFORE | AFTER, CHUNKED["two"])


def test_a_stale_answer_of_rows_after_the_index_is_todays_text_whole(store: Store) -> None:
    store.upsert([Document("late", "boats leave at dawn")])
    store.catch_up("one")  # these rows are searched beside the index
    store.upsert([Document("late", "boats leave at dawn, except on every second Sunday of the month")])
    [late] = [hit for hit in store.search("boats", k=EVERYTHING).hits if hit.id == "late"]
    assert (late.stale, late.chunk) == (True, WHOLE_TEXT)
    assert late.text == "boats leave at dawn, except on every second Sunday of the month"


def test_a_stale_answer_over_http_is_todays_text_whole(root: Path) -> None:
    with serving(root) as server:
        documents = [{"id": id_, "text": text} for id_, text in AFTER.items()]
        assert server.post("/v1/documents", {"documents": documents}).status_code == 200
        hits = server.post("/v1/search", {"query": "refunds", "k": 10}).json()["hits"]
    for hit in hits:
        assert_says_what_it_is(Hit(**hit), BEFORE | AFTER, CHUNKED["one"])
    assert {hit["id"] for hit in hits if hit["stale"]} == set(AFTER)


TEXT = st.text("abc déß日🎈\n", max_size=40)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    first=st.dictionaries(st.sampled_from("wxyz"), TEXT, min_size=1),
    then=st.dictionaries(st.sampled_from("wxyz"), TEXT),
)
def test_an_answers_text_is_always_of_today(template: Path, first: dict[str, str], then: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(template, Path(folder) / "store"))
        with vecrollback.connect(root) as store, store.searcher(follow=False) as searcher:
            texts = dict(BEFORE)
            for change in (first, then):
                texts |= change
                store.upsert([Document(id_, text) for id_, text in change.items()])
                for hit in searcher.search("boats", k=EVERYTHING).hits:
                    assert_says_what_it_is(hit, texts, CHUNKED["one"])
                store.catch_up("one")
                for hit in searcher.search("boats", k=EVERYTHING).hits:
                    assert_says_what_it_is(hit, texts, CHUNKED["one"])
                    assert not hit.stale
