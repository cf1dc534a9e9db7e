"""Golden queries from files, and in the store."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecrollback
from tests.support.shared_data import shared
from vecrollback import Store
from vecrollback.errors import UnknownNameError, UsageError
from vecrollback.quality.evaluation import read_queries


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with vecrollback.connect(tmp_path / "store", create=True, actor="tester") as opened:
        yield opened


def test_a_beir_collection_is_read_with_its_judgements() -> None:
    folder = shared("scifact-mini")
    queries = read_queries(folder / "queries.jsonl", folder / "qrels.tsv")
    assert len(queries) == 100
    assert all(query.judged for query in queries)


def test_trec_judgements_and_packed_files_are_read(tmp_path: Path) -> None:
    packed, qrels = tmp_path / "queries.jsonl.gz", tmp_path / "qrels.txt"
    with gzip.open(packed, "wt") as stream:
        stream.write('{"_id": 1, "text": "one"}\n\n{"_id": "2", "text": "two"}\n')
    qrels.write_text("1 0 doc-a 2\n1 0 doc-b 0\n9 0 doc-c 1\n")
    assert [(query.id, dict(query.expected)) for query in read_queries(packed, qrels)] == [
        ("1", {"doc-a": 2, "doc-b": 0}),
        ("2", {}),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{}", "neither `query` nor `text` holds a text"),
        ('{"query": " "}', "neither `query` nor `text` holds a text"),
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"query": "a", "expected": {"d": -1}}', "-1 is not a valid grade"),
        ('{"query": "a", "expected": {"d": true}}', "True is not a valid grade"),
        ('{"query": "a", "expected": "d"}', "`expected`"),
        ('{"query": "a", "expected": [1]}', "`expected`"),
        ('{"query": "a", "tags": "hot"}', "`tags`"),
        ('{"query": "a", "id": [1]}', "`id`"),
    ],
)
def test_a_line_that_is_no_query_is_named(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text('{"query": "good"}\n' + line + "\n")
    with pytest.raises(UsageError, match=said) as refused:
        read_queries(path)
    assert f"{path}:2: " in str(refused.value)


def test_an_id_given_twice_and_judgements_of_other_queries_are_refused(tmp_path: Path) -> None:
    path, qrels = tmp_path / "golden.jsonl", tmp_path / "qrels.tsv"
    path.write_text('{"query": "same"}\n{"query": "same"}\n')
    with pytest.raises(UsageError, match="was there before"):
        read_queries(path)
    path.write_text('{"query": "same"}\n')
    qrels.write_text("query-id\tcorpus-id\tscore\nelse\td\t1\n")
    with pytest.raises(UsageError, match="judges none"):
        read_queries(path, qrels)
    qrels.write_text("query-id\tcorpus-id\tscore\nelse\td\n")
    with pytest.raises(UsageError, match=r"qrels\.tsv:2: 2 columns"):
        read_queries(path, qrels)
    path.write_text("\n")
    with pytest.raises(UsageError, match="does not hold a query"):
        read_queries(path)


def test_what_was_kept_comes_back_and_the_same_words_replace_it(store: Store) -> None:
    first = store.golden.add("how is espresso brewed", ["coffee"], tags=["drinks", "drinks"])
    assert store.golden.list() == (first,)
    assert (dict(first.expected), first.tags, first.created_by) == ({"coffee": 1}, ("drinks",), "tester")
    store.golden.add("how is espresso brewed", {"coffee": 2, "tea": 0})
    [replaced] = store.golden.list()
    assert (replaced.id, dict(replaced.expected), replaced.created_at) == (
        first.id,
        {"coffee": 2, "tea": 0},
        first.created_at,
    )


def test_a_tag_finds_its_queries_and_only_known_ones_are_removed(store: Store) -> None:
    kept = [store.golden.add(f"query {n}", ["d"], tags=[f"incident-{n % 2}"]) for n in range(4)]
    assert [query.text for query in store.golden.list("incident-1")] == ["query 1", "query 3"]
    with pytest.raises(UnknownNameError, match="nothing"):
        store.golden.remove(kept[0].id, "nothing")
    assert len(store.golden.list()) == 4
    store.golden.remove(kept[0].id, kept[2].id)
    assert [query.text for query in store.golden.list()] == ["query 1", "query 3"]


@pytest.mark.parametrize("wrong", [("", ["d"]), ("words", "d"), ("words", {"d": -1})])
def test_what_is_no_golden_query_is_refused(wrong: tuple[str, object], store: Store) -> None:
    with pytest.raises(UsageError):
        store.golden.add(*wrong)  # type: ignore[arg-type]
    assert store.golden.list() == ()


def test_an_import_keeps_what_was_judged_and_adds_its_tags(store: Store, tmp_path: Path) -> None:
    queries, qrels = tmp_path / "q.jsonl", tmp_path / "qrels.tsv"
    queries.write_text('{"_id": "1", "text": "one", "tags": ["own"]}\n{"_id": "2", "text": "two"}\n')
    qrels.write_text("query-id\tcorpus-id\tscore\n1\td\t1\n")
    assert store.golden.import_(queries, qrels, tags=["hot"]) == 1
    assert [(query.id, query.tags) for query in store.golden.list()] == [("1", ("own", "hot"))]
    assert store.golden.import_(queries) == 2
