"""Random filters over documents of mixed types answer what a plain evaluation in Python answers.

Covers corpus.filters.
"""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.selection import DocumentSet
from vecrollback.records import Document, Json, where_text
from vecrollback.store.store import connect

STRINGS = ["", "a", "b", "ab", "A", "it's", 'say "x"', "50%", "a_b", "back\\slash", "zwölf", "日本", "line\nbreak", "`"]
NUMBERS: list[float] = [
    0,
    -0.0,
    1,
    -1,
    0.5,
    1e-300,
    1e300,
    2**53,
    -(2**53),
    2**53 + 1,
    -(2**53) - 1,
    2**63 - 1,
    2.0**63,
]
PLAIN: list[Any] = [*STRINGS, *NUMBERS, True, False]
PATTERNS = ["%", "_", "a%", "%b", "%a%", "a_b", r"a\_b", r"50\%", "", "it's", "line%break", "日_", "%ö%", "a%b%"]
KEYS = ["s", "n", "mixed", "a.b", "with space", "_seq", "id", "text", "größe-x", 'q"uote']
NAMES = {"=": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Term = tuple[Any, ...]


def random_document(chance: random.Random, number: int) -> Document:
    metadata: dict[str, Json] = {}
    for key in KEYS:
        usual = {"s": STRINGS, "n": NUMBERS}.get(key, PLAIN)
        draw = chance.random()
        if draw < 0.65:
            metadata[key] = chance.choice(usual)
        elif draw < 0.75:
            metadata[key] = chance.choice(PLAIN)
        elif draw < 0.9:
            metadata[key] = chance.choice([None, {"a": 1}, [], chance.choices([*PLAIN, None, [1]], k=3)])
    return Document(f"doc-{number}", "text", metadata)


keys = st.sampled_from([*KEYS, "$id", "nobody"])
values = st.sampled_from([*PLAIN, "doc-1", "doc-77"])
signs = st.sampled_from([*NAMES]).flatmap(
    lambda sign: st.tuples(st.just(sign), values.filter(lambda v: sign in ("=", "!=") or not isinstance(v, bool)))
)
terms = st.one_of(
    st.tuples(st.just("compare"), keys, signs).map(lambda t: (t[0], t[1], *t[2])),
    st.tuples(st.just("in"), keys, st.lists(values, min_size=1, max_size=4)),
    st.tuples(st.just("null"), keys),
    st.tuples(st.just("like"), keys, st.sampled_from(PATTERNS), st.booleans()),
    st.tuples(st.sampled_from(["any", "all"]), keys, st.lists(values, max_size=3)),
)
filters = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.lists(inner, min_size=2, max_size=4).flatmap(
            lambda ones: st.sampled_from(["and", "or"]).map(lambda word: (word, *ones))
        ),
    ),
    max_leaves=8,
)


def holds(term: Term, document: Document, *, as_data: bool) -> bool | None:
    """True, False, or None for unknown: SQL's logic; as data, negations turn unknown into true."""
    kind = term[0]
    if kind in ("and", "or"):
        inner = [holds(one, document, as_data=as_data) for one in term[1:]]
        decisive = kind == "or"
        return decisive if decisive in inner else None if None in inner else not decisive
    if kind == "not":
        value = holds(term[1], document, as_data=as_data)
        return (not value) if as_data or value is not None else None
    stored = document.id if term[1] == "$id" else document.metadata.get(term[1])
    if kind == "null":
        return stored is None
    if stored is None:
        return True if as_data and term[2] == "!=" else None
    return _holds_of(term, stored)


def _holds_of(term: Term, stored: Any) -> bool:
    kind = term[0]
    if kind == "compare":
        return bool(COMPARE[term[2]](stored, term[3])) if _alike(stored, term[3]) else term[2] == "!="
    if kind == "in":
        return any(_alike(stored, one) and stored == one for one in term[2])
    if kind in ("any", "all"):
        if not isinstance(stored, list):
            return False
        holding = [any(_alike(one, wanted) and one == wanted for one in stored) for wanted in term[2]]
        return any(holding) if kind == "any" else all(holding)
    flags = re.DOTALL | (re.IGNORECASE if term[3] else 0)
    return isinstance(stored, str) and re.fullmatch(_expression(term[2]), stored, flags) is not None


def _alike(a: Any, b: Any) -> bool:
    kinds = [str if isinstance(v, str) else bool if isinstance(v, bool) else float for v in (a, b)]
    return not isinstance(a, list | dict | None) and kinds[0] is kinds[1]


def _expression(pattern: str) -> str:
    symbols = {"%": ".*", "_": "."}
    return "".join(
        re.escape(part[1:]) if part[0] == "\\" else symbols.get(part) or re.escape(part)
        for part in re.findall(r"\\.|.", pattern, re.DOTALL)
    )


def as_sql(term: Term) -> str | None:
    """None where SQL has no spelling for it."""
    kind = term[0]
    if kind in ("and", "or", "not"):
        inner = [as_sql(one) for one in term[1:]]
        if None in inner:
            return None
        return f"NOT ({inner[0]})" if kind == "not" else f" {kind} ".join(f"({one})" for one in inner)
    if kind in ("any", "all"):
        return None
    name = term[1] if term[1] in ("s", "n", "nobody") else '"' + term[1].replace('"', '""') + '"'
    if kind == "null":
        return f"{name} IS NULL"
    if kind == "compare":
        return f"{name} {term[2]} {_literal(term[3])}"
    if kind == "in":
        return f"{name} in ({', '.join(map(_literal, term[2]))})"
    return f"{name} {'ILIKE' if term[3] else 'LIKE'} {_literal(term[2])}"


def _literal(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def as_data(term: Term) -> dict[str, Json]:
    kind = term[0]
    if kind in ("and", "or", "not"):
        inner = [as_data(one) for one in term[1:]]
        return {"$not": inner[0]} if kind == "not" else {f"${kind}": inner}
    if kind == "null":
        return {term[1]: {"$exists": False}}
    if kind == "compare":
        return {term[1]: {NAMES[term[2]]: term[3]}}
    if kind == "like":
        return {term[1]: {"$ilike" if term[3] else "$like": term[2]}}
    return {term[1]: {f"${kind}": term[2]}}


@contextmanager
def opened_corpus(folder: Path, documents: list[Document]) -> Iterator[Corpus]:
    with connect(folder / "store", create=True) as store:
        store.upsert(documents)
        store.upsert([Document("gone", "text", documents[0].metadata)])
        store.upsert([Document("other", "text", documents[0].metadata)], namespace="another")
        store.delete(["gone"])
        yield store.resources.corpus


# Ten thousand in all, in parts that each end within minutes on a busy machine.
@pytest.mark.parametrize(
    ("number", "examples"),
    [(0, 300), *(pytest.param(number, 1_000, marks=[pytest.mark.slow]) for number in range(1, 11))],
)
def test_filters_answer_as_a_plain_evaluation_does(tmp_path: Path, number: int, examples: int) -> None:
    telling = 0
    chance = random.Random(number)
    documents = [random_document(chance, place) for place in range(150)]

    @seed(number)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(filters)
    def compare(term: Term) -> None:
        nonlocal telling
        spellings: list[tuple[Any, bool]] = [(as_data(term), True)]
        if (sql := as_sql(term)) is not None:
            spellings.append((sql, False))
        for where, is_data in spellings:
            expected = {one.id for one in documents if holds(term, one, as_data=is_data)}
            selection = DocumentSet.of(where_text(where), None)
            assert set(corpus.matching(selection, version=version).to_pylist()) == expected, where
            telling += bool(expected) and len(expected) < len(documents)

    with opened_corpus(tmp_path, documents) as corpus:
        version = corpus.state().version
        compare()
    assert telling > examples / 3  # neither nothing nor everything: such answers tell little
