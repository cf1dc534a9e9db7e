"""Filters: what they match, what they refuse and how they say it.

Covers corpus.filters, corpus.columns, corpus.selection, records.filters.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.filters.conditions import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_PATTERN,
    MAX_PATTERNS,
    MAX_TERMS,
    MAX_VALUES,
)
from vecrollback.corpus.selection import DocumentSet
from vecrollback.errors import BadDocumentError, BadFilterError
from vecrollback.records import Document, where_text
from vecrollback.store.store import connect

DOCUMENTS = [
    Document("a", "one", {"lang": "en", "year": 2024, "ok": True, "user": "it's me", "date": "2026-01-31"}),
    Document("b", "two", {"lang": "de", "year": 2025, "ok": False, "user": "50%_\\", "größe": -0.0}),
    Document("c", "three", {"year": 2024.5, "lang": None, "tags": ["x"], "dashed-key": 1}),
    Document("d", "four", {"lang": "", "user": 'b"o`b', "date": "2026-02-01"}),
    Document("gone", "five", {"lang": "en", "year": 2024, "ok": True}),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    with connect(tmp_path_factory.mktemp("filters") / "store", create=True) as store:
        store.upsert(DOCUMENTS)
        store.delete(["gone"])
        yield store.resources.corpus


def matched(corpus: Corpus, where: str | Mapping[str, Any]) -> str:
    text = where_text(where)
    assert text is not None
    return "".join(sorted(corpus.matching(DocumentSet.of(text, None), version=corpus.state().version).to_pylist()))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("year = 2024", "a"),
        ("2024 == year", "a"),
        ("year <> 2024", "bc"),
        ("2024 < year", "bc"),
        ("year BETWEEN 2024 AND 2024.5", "ac"),
        ("year NOT BETWEEN 2024 AND 2024.5", "b"),
        ("year > -1e3 and not (year >= 2025 or lang = 'en')", ""),
        ("year = 2024 OR year = 2025 AND ok", "a"),
        ("(year = 2024 OR year = 2025) AND NOT ok", "b"),
        ("lang IN ('en', 'de')", "ab"),
        ("lang NOT IN ('en')", "bd"),
        ("lang IS NULL", "c"),
        ("lang is not null", "abd"),
        ("lang = ''", "d"),
        ("ok", "a"),
        ("ok = FALSE", "b"),
        ("ok != true", "b"),
        ("user = 'it''s me'", "a"),
        ("user LIKE 'it%'", "a"),
        ("user NOT LIKE 'it%'", "bd"),
        ("user ILIKE 'IT_S ME'", "a"),
        (r"user LIKE '50\%\_\\'", "b"),
        ('"user" = \'b"o`b\'', "d"),
        ("`user` = 'b\"o`b'", "d"),
        ("größe = 0", "b"),
        ("größe IN (0)", "b"),
        ("\"$id\" = 'a' OR `$id` IN ('c', 'gone')", "ac"),
        ("id = 'a'", ""),  # a key of the metadata, as every other name
        ("date < DATE '2026-02-01'", "a"),
        ("date >= TIMESTAMP '2026-02-01'", "d"),
        ("TIMESTAMP '2026-02-01' <= date", "d"),
        ("tags IS NULL", "abd"),
        ("tags = 'x'", ""),  # a list equals no plain value
        ("tags != 'x'", "c"),
        ('"dashed-key" = 1', "c"),
        ("year = '2024'", ""),  # values of different types are unequal, and in no order
        ("year != '2024'", "abc"),
        ("year > 'a' OR lang > 3 OR year", ""),
        ("year LIKE '2%'", ""),
        ("year IN (2025, 'a', TRUE)", "b"),
        ("year = 9007199254740993 OR year > 9007199254740993", ""),
        ("year < 9007199254740993", "abc"),
        ("nobody = 3", ""),
        ("NOT nobody = 'x'", ""),
        ("nobody IN (true)", ""),
        ("nobody LIKE 'x'", ""),
        ("nobody IS NULL", "abcd"),
        ("nobody IS NOT NULL", ""),
        ("nobody = 3 OR year = 2024", "a"),
    ],
)
def test_sql_matches(corpus: Corpus, where: str, expected: str) -> None:
    assert matched(corpus, where) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"year": 2024}, "a"),
        ({"year": {"$gte": 2024, "$lt": 2025}, "$id": {"$ne": "a"}}, "c"),
        ({"tags": {"$contains": "x"}}, "c"),
        ({"tags": {"$any": ["y", "x"]}}, "c"),
        ({"tags": {"$all": ["y", "x"]}}, ""),
        ({"tags": {"$not": {"$contains": "x"}}}, "abd"),
        ({"lang": {"$contains": "en"}}, ""),
        ({"user": {"$like": "it%"}}, "a"),
        ({"user": {"$ilike": "IT%"}}, "a"),
        ({"dashed-key": 1}, "c"),
        ({"id": {"$exists": False}}, "abcd"),
        ({"year": {"$gte": "a"}}, ""),
        ({"year": {"$gt": 2024, "$lte": 2025}}, "bc"),
        ({"lang": {"$in": ["en", "de"]}}, "ab"),
        ({"lang": {"$in": [None, "de"]}}, "bc"),
        ({"lang": {"$in": []}}, ""),
        ({"lang": {"$nin": []}}, "abcd"),
        ({"lang": {"$nin": ["en", None]}}, "bd"),
        ({"lang": {"$exists": False}}, "c"),
        ({"lang": {"$exists": True}}, "abd"),
        ({"lang": None}, "c"),
        ({"lang": {"$ne": None}}, "abd"),
        ({"ok": True}, "a"),
        ({"user": "it's me"}, "a"),
        ({"$or": [{"year": 2025}, {"$id": "d"}]}, "bd"),
        ({"$and": [{"year": {"$gt": 1}}, {"ok": False}]}, "b"),
        ({"$not": {"year": {"$gt": 2024}}}, "ad"),
        ({"year": {"$not": {"$gt": 2024}}}, "ad"),
        ({"$not": {"$or": [{"lang": "en"}, {"ok": False}]}}, "cd"),
        ({"nobody": 1}, ""),
        ({"nobody": {"$exists": False}}, "abcd"),
        ({"nobody": {"$ne": 1}}, "abcd"),
        ({"date": {"$gte": dt.date(2026, 2, 1)}}, "d"),
        ({"year": np.int64(2024)}, "a"),
    ],
)
def test_data_matches(corpus: Corpus, where: Mapping[str, Any], expected: str) -> None:
    assert matched(corpus, where) == expected


def test_negation_as_data_matches_documents_that_lack_the_key_and_sql_does_not(corpus: Corpus) -> None:
    assert matched(corpus, "lang != 'en'") == matched(corpus, "NOT lang = 'en'") == "bd"
    assert matched(corpus, {"lang": {"$ne": "en"}}) == matched(corpus, {"$not": {"lang": "en"}}) == "bcd"


@pytest.mark.parametrize(
    ("where", "fact", "cure"),
    [
        ("year > 2000; x", "character 12: expected AND, OR or the end of the filter, not ';'", "nothing behind"),
        ("year=1+1", "character 7: expected AND, OR or the end of the filter, not '+'", "calculate nothing"),
        ("year > 2000 -- all", "character 13", "calculate nothing"),
        ("year = 2024 lang", "character 13", "AND or OR"),
        ("length(lang) = 2", "character 1: filters have no functions", "calculate nothing"),
        ('lang = "en"', "character 8: expected a value", "single quotes: 'en'"),
        ("lang = user", "character 8: expected a value, not 'user'", "another key"),
        ("1 = 1", "character 5: a value is compared with a value", "year = 2020"),
        ("TRUE", "character 5: expected a comparison", "calculate"),
        ("year = NULL", "character 8: nothing equals NULL", "IS NULL"),
        ("lang = 'en", "character 8: the quote ' is not closed", "at its end"),
        ("(year = 1", "character 10: expected ), but the filter ends", "the ( at character 1"),
        ("year = ", "character 8: expected a value, but the filter ends", "number"),
        ("year IN ()", "character 10: expected a value", "number"),
        ("ok > false", "true and false have no order", "ok = true"),
        ("year = 1e999", "too large", "1.7e308"),
        ("year = " + "9" * 500, "digits", "as strings"),
        ("date > DATE '2026-02-31'", "'2026-02-31' is not a valid DATE", "TIMESTAMP"),
        (" ", "the filter is empty", "leave `where` out"),
        ("lang = '\ud800'", "lone surrogate", "UTF-8"),
        ({"year": [2024]}, "['year']: expected a string, a number", "$in"),
        ({"year": {}}, "expected a value, or an operator", "$exists"),
        ({"year": {"$regex": "x"}}, "'$regex' is not a valid operator", "$gte"),
        ({"tags": {"$any": "x"}}, "$any takes a list", "tags"),
        ({"year": {"$eq": [2024]}}, "['year']['$eq']: expected a string, a number", "$in"),
        ({"year": []}, "['year']: expected a string, a number", "$in"),
        ({"tags": {"$contains": ["x"]}}, "expected a string, a number", "$in"),
        ({"user": {"$like": 3}}, "$like takes a pattern", "title"),
        ({"k" * 1_001: 1}, "longer than 1,000 characters", "shorter"),
        ({"$nor": []}, "'$nor' is not a valid operator here", "$or"),
        ({"$or": []}, "['$or']: $or takes a list", "$or"),
        ({"$or": [{}]}, "['$or'][0]: expected an object", "year"),
        ({"lang": {"$in": "en"}}, "take a list", "$in"),
        ({"lang": {"$exists": 1}}, "takes true or false", "$exists"),
        ({"year": {"$gt": None}}, "null has no order", "$exists"),
        ({"year": 10**400}, "['year']: the number is too large", "1.7e308"),
        ({"year": float("nan")}, "cannot be written as JSON", "SQL"),
        ({"year": object()}, "cannot be written as JSON", "SQL"),
        ('{"year": NaN}', "not valid JSON", "year"),
        ('{"year": ' + "1" * 5_000 + "}", "not valid JSON", "year"),
        ({"user": "a\0"}, "NUL", "holds one"),
    ],
)
def test_a_wrong_filter_is_told_position_fact_and_cure(corpus: Corpus, where: Any, fact: str, cure: str) -> None:
    with pytest.raises(BadFilterError) as error:
        matched(corpus, where)
    assert fact in error.value.message
    assert cure in error.value.hint
    assert len(error.value.message) < 400


@pytest.mark.parametrize("name", ["_seq", "_deleted", "_rowid", "_content_hash", "_rowaddr", "id", "text", "metadata"])
def test_the_insides_of_the_store_are_no_names_and_such_keys_are_metadata(tmp_path: Path, name: str) -> None:
    plain = {"_deleted": False, "_content_hash": "x"}.get(name, 7)
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("a", "one"), Document("b", "two")])
        corpus = store.resources.corpus
        spellings: list[Any] = [f'"{name}" IS NOT NULL', f"{name} IS NOT NULL", {name: {"$exists": True}}]
        for where in spellings:
            assert matched(corpus, where) == ""
        store.upsert([Document("b", "two", {name: plain})])
        for where in [*spellings, {name: plain}]:
            assert matched(corpus, where) == "b"


def test_values_of_several_types_under_one_key_stay_filterable_and_no_batch_is_refused(tmp_path: Path) -> None:
    values: dict[str, Any] = {"a": 7, "b": "7", "c": True, "d": [7, "x"], "e": {"deep": 7}, "f": None, "g": 7.5}
    values |= {"h": 2**53 + 1, "i": [], "j": [[]], "k": "[]", "l": ""}
    with connect(tmp_path / "store", create=True) as store:
        for id_, value in values.items():
            store.upsert([Document(id_, "text", {"v": value})])
        corpus = store.resources.corpus
        assert matched(corpus, {"v": 7}) == "a"
        assert matched(corpus, {"v": "7"}) == "b"
        assert matched(corpus, {"v": True}) == "c"
        assert matched(corpus, {"v": {"$contains": 7}}) == "d"
        assert matched(corpus, {"v": 2**53 + 1}) == "h"
        assert matched(corpus, {"v": 2**53}) == ""
        assert matched(corpus, {"v": {"$gt": 7}}) == "gh"
        assert matched(corpus, {"v": {"$exists": False}}) == "f"
        assert matched(corpus, {"v": {"$ne": 7}}) == "bcdefghijkl"
        assert matched(corpus, "v != 7") == "bcdeghijkl"
        assert matched(corpus, {"v": {"$eq": []}}) == "i"
        assert matched(corpus, {"v": {"$ne": []}}) == "abcdefghjkl"
        assert store.get(list(values))["d"].metadata == {"v": [7, "x"]}


def test_more_keys_than_columns_are_filterable_all_the_same(tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        store.upsert(
            [Document(chr(97 + n % 26), "text", {f"key {m}": m for m in range(n * 40, n * 40 + 40)}) for n in range(9)]
        )
        corpus = store.resources.corpus
        assert len(corpus.table.at(corpus.state().version).schema.names) < 300
        for m in range(0, 360, 17):
            assert matched(corpus, {f"key {m}": m}) == chr(97 + m // 40)


def test_scalars_of_numpy_and_pandas_and_dates_are_what_they_hold(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    given = {
        "n": np.int64(3),
        "f": np.float32(0.5),
        "ok": np.bool_(True),
        "day": dt.date(2026, 1, 31),
        "at": pandas.Timestamp("2026-01-31T12:00:00"),
        "when": np.datetime64("2026-01-31T12:00:00"),
    }
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("a", "text", given)])
        times = {"day": "2026-01-31", "at": "2026-01-31T12:00:00", "when": "2026-01-31T12:00:00"}
        assert store.get(["a"])["a"].metadata == {"n": 3, "f": 0.5, "ok": True, **times}
        assert (
            matched(store.resources.corpus, {"n": 3, "f": 0.5, "ok": True, "day": {"$lt": dt.date(2026, 2, 1)}}) == "a"
        )
        for wrong, cure in (
            (np.array([1]), "tolist"),
            (pandas.NaT, "leave the key out"),
            (float("nan"), "leave"),
            ({1}, "str"),
        ):
            with pytest.raises(BadDocumentError, match=cure):
                store.upsert([Document("b", "text", {"k": wrong})])


@pytest.mark.parametrize(
    ("at_the_limit", "past_it"),
    [
        (" OR ".join(["year = 2024"] * MAX_TERMS), " OR ".join(["year = 2024"] * (MAX_TERMS + 1))),
        ("year = 2024" + " OR lang LIKE 'x'" * MAX_PATTERNS, "lang LIKE 'x'" + " OR lang LIKE 'x'" * MAX_PATTERNS),
        ("(" * MAX_DEPTH + "year = 2024" + ")" * MAX_DEPTH, "(" * 10_000 + "year = 2024" + ")" * 10_000),
        ("NOT " * MAX_DEPTH + "year = 2024", "NOT " * (MAX_DEPTH + 1) + "year = 2024"),
        (f"year IN (2024{', 1' * (MAX_VALUES - 1)})", f"year IN (2024{', 1' * MAX_VALUES})"),
        ({"year": {"$in": [2024] * MAX_VALUES}}, {"year": {"$in": [2024] * (MAX_VALUES + 1)}}),
        ({"$or": [{"year": 2024}] * MAX_TERMS}, {"$or": [{"year": 2024}] * (MAX_TERMS + 1)}),
        (f"year = 2024{' ' * (MAX_CHARACTERS - 11)}", f"year = 2024{' ' * (MAX_CHARACTERS - 10)}"),
        (f"year = 2024 AND lang LIKE '{'%' * MAX_PATTERN}'", f"lang LIKE '{'%' * (MAX_PATTERN + 1)}'"),
    ],
)
def test_limits_hold_exactly(corpus: Corpus, at_the_limit: Any, past_it: Any) -> None:
    assert matched(corpus, at_the_limit) == "a"
    with pytest.raises(BadFilterError, match=r"more than|nested"):
        matched(corpus, past_it)


def test_a_filter_as_data_has_one_text() -> None:
    assert where_text({"b": 1, "a": 2}) == where_text({"a": 2, "b": 1}) == '{"a": 2, "b": 1}'
    assert where_text("year > 1") == "year > 1"
    assert where_text(None) is where_text({}) is None
    with pytest.raises(BadFilterError, match="list is not a valid filter"):
        where_text(["year > 1"])  # type: ignore[arg-type]


def test_search_takes_both_spellings_and_rereads_after_a_change(tmp_path: Path) -> None:

    with connect(tmp_path / "store", create=True) as store:
        store.upsert(DOCUMENTS[:3])
        store.reembed("hash:32?seed=1", name="v1").wait()
        store.promote("v1", reason="first")
        for where in ("ok", {"ok": True}):
            assert [hit.id for hit in store.search("one two", where=where).hits] == ["a"]
        assert store.search("one two", where={"fresh": 1}).hits == []
        store.upsert([Document("e", "six", {"fresh": 1})])
        store.catch_up("v1")
        assert [hit.id for hit in store.search("one two", where={"fresh": 1}).hits] == ["e"]


def test_a_value_is_cut_out_of_the_right_place(tmp_path: Path) -> None:
    """Values that no column holds are found under their own key, whatever stands around them."""
    look_alikes: dict[str, dict[str, Any]] = {
        "a": {"tags": ["x", 'in "tags":["y"]', "{", "}", ","]},
        "b": {"before": {"tags": ["x"]}, "tags": ["y"]},
        "c": {'x,"tags': ["x"], "tags": ["y"]},
        "d": {"before": ',"tags":["x"]', "tags": ["z", "\\", '"']},
        "e": {"tags": [["x"]], "after": ["x"]},
        "f": {"tags": [], "zags": ["x"]},
        "g": {"tags": '["x"]'},
        "h": {"tags": None, "zags": 1},
        "i": {"Tags": ["x"]},
        "j": {"tags": 2**53 + 1, "zags": "x"},
        "k": {"tags": True},
    }
    with connect(tmp_path / "store", create=True) as store:
        store.upsert([Document("first", "makes it a column of numbers", {"tags": 1})])
        store.upsert([Document(id_, "text", metadata) for id_, metadata in look_alikes.items()])
        corpus = store.resources.corpus
        for value, expected in [("x", "a"), ("y", "bc"), ('in "tags":["y"]', "a"), ("{", "a"), ("\\", "d"), ('"', "d")]:
            assert matched(corpus, {"tags": {"$contains": value}}) == expected
        assert matched(corpus, {"tags": '["x"]'}) == "g"
        assert matched(corpus, {"tags": 2**53 + 1}) == "j"
        assert matched(corpus, {"tags": {"$gt": 2**53}}) == "j"
        assert matched(corpus, {"tags": True}) == "k"
        assert matched(corpus, {"tags": {"$exists": False}}) == "hi"
        assert matched(corpus, {'x,"tags': {"$contains": "x"}}) == "c"


def test_an_empty_store_matches_nothing(tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        assert matched(store.resources.corpus, "year IS NULL") == ""
