"""Filters: what they match, what they refuse and how they say it. Covers corpus.filters, records.filters."""

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
from vecrollback.errors import BadFilterError
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
    return "".join(sorted(corpus.matching(text, version=corpus.state().version).to_pylist()))


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
        ("id = 'a' OR id IN ('c', 'gone')", "ac"),
        ("date < DATE '2026-02-01'", "a"),
        ("date >= TIMESTAMP '2026-02-01'", "d"),
        ("TIMESTAMP '2026-02-01' <= date", "d"),
        ("tags IS NULL", "abcd"),  # a list is not a plain value
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
        ({"year": {"$gte": 2024, "$lt": 2025}, "id": {"$ne": "a"}}, "c"),
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
        ({"$or": [{"year": 2025}, {"id": "d"}]}, "bd"),
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
        ("year IN (1, 'a')", "several types: number, string", "one type"),
        ("year IN ()", "character 10: expected a value", "number"),
        ("ok > false", "true and false have no order", "ok = true"),
        ("year = '2024'", "'year' holds numbers, and '2024' is a string", "compare it with a number"),
        ("lang > 3", "'lang' holds strings, and '3.0' is a number", "compare it with a string"),
        ("year", "'year' holds numbers, and 'True' is a boolean", "compare it with a number"),
        ("year LIKE '2%'", "'year' holds numbers", "compare it with a number"),
        ("year = 9007199254740993", "not exact as a double", "as strings"),
        ("year = 1e999", "too large", "doubles"),
        ("year = " + "9" * 500, "digits", "as strings"),
        ("date > DATE '2026-02-31'", "'2026-02-31' is not a valid DATE", "TIMESTAMP"),
        (" ", "the filter is empty", "leave `where` out"),
        ("lang = '\ud800'", "lone surrogate", "UTF-8"),
        ({"year": {"$gte": "a"}}, "['year']['$gte']: 'year' holds numbers", "a number"),
        ({"year": [2024]}, "['year']: expected a string, a number", "$in"),
        ({"year": {}}, "expected a value, or an operator", "$exists"),
        ({"year": {"$regex": "x"}}, "'$regex' is not a valid operator", "$gte"),
        ({"$nor": []}, "'$nor' is not a valid operator here", "$or"),
        ({"$or": []}, "['$or']: $or takes a list", "$or"),
        ({"$or": [{}]}, "['$or'][0]: expected an object", "year"),
        ({"lang": {"$in": "en"}}, "take a list", "$in"),
        ({"lang": {"$exists": 1}}, "takes true or false", "$exists"),
        ({"year": {"$gt": None}}, "null has no order", "$exists"),
        ({"year": 10**400}, "['year']: the number is too large", "doubles"),
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


@pytest.mark.parametrize("name", ["_seq", "_deleted", "_rowid", "_content_hash", "_rowaddr", "text", "metadata"])
def test_the_insides_of_the_store_are_unknown_names(corpus: Corpus, name: str) -> None:
    for where in (f"{name} IS NOT NULL", f'"{name}" = 1', f"1 < {name}", {name: 1}, {name: {"$exists": True}}):
        with pytest.raises(BadFilterError, match="cannot be filtered on"):
            matched(corpus, where)


def test_a_key_that_cannot_be_filtered_on_is_refused_not_missed(corpus: Corpus) -> None:
    with pytest.raises(BadFilterError, match="'dashed-key' cannot be filtered on"):
        matched(corpus, {"dashed-key": 1})
    with pytest.raises(BadFilterError, match="'dashed-key' cannot be filtered on"):
        matched(corpus, '"dashed-key" = 1')


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


def test_an_empty_store_matches_nothing(tmp_path: Path) -> None:
    with connect(tmp_path / "store", create=True) as store:
        assert matched(store.resources.corpus, "year IS NULL") == ""
