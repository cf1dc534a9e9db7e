"""Random filters over random documents answer what a plain evaluation in Python answers."""

from __future__ import annotations

import operator
import random
import re
from pathlib import Path
from typing import Any

import pytest

from vecrollback.records import Document, Json, where_text
from vecrollback.store.store import connect

STRINGS = ["", "a", "b", "ab", "A", "it's", 'say "x"', "50%", "a_b", "back\\slash", "zwölf", "日本", "line\nbreak", "`"]
NUMBERS: list[float] = [0, -0.0, 1, -1, 0.5, 2.25, 1e-300, 1e300, 2**53, -(2**53)]
PATTERNS = ["%", "_", "a%", "%b", "%a%", "a_b", r"a\_b", r"50\%", "", "it's", "line%break", "日_", "%ö%", "a%b%"]
KEYS: dict[str, list[Any]] = {"s": STRINGS, "t": STRINGS, "n": NUMBERS, "m": NUMBERS, "f": [True, False]}
COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NAMES = {"=": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}

Term = tuple[Any, ...]


def random_document(chance: random.Random, number: int) -> Document:
    metadata: dict[str, Json] = {}
    for key, values in KEYS.items():
        draw = chance.random()
        if draw < 0.7:
            metadata[key] = chance.choice(values)
        elif draw < 0.8:
            metadata[key] = chance.choice([None, [1, "a"], {"a": 1}])
    return Document(f"doc-{number}", "text", metadata)


def random_filter(chance: random.Random, depth: int) -> Term:
    if depth and chance.random() < 0.6:
        kind = chance.choice(["and", "or", "not"])
        size = 1 if kind == "not" else chance.randint(2, 4)
        return (kind, *(random_filter(chance, depth - 1) for _ in range(size)))
    key = chance.choice([*KEYS, "id", "nobody"])
    values = KEYS.get(key, STRINGS if key == "nobody" else [f"doc-{n}" for n in range(5)])
    kind = chance.choice(["compare", "in", "null", "between", "like"])
    if kind == "like" and values is STRINGS:
        return ("like", key, chance.choice(PATTERNS), chance.random() < 0.3)
    if kind == "in":
        return ("in", key, chance.choices(values, k=chance.randint(1, 4)))
    if kind == "null":
        return ("null", key)
    if kind == "between" and key != "f":
        return ("between", key, chance.choice(values), chance.choice(values))
    return ("compare", key, chance.choice(["=", "!="] if key == "f" else list(COMPARE)), chance.choice(values))


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
    stored = document.id if term[1] == "id" else document.metadata.get(term[1])
    missing = not isinstance(stored, str | int | float)
    if kind == "null":
        return missing
    if missing:
        return True if as_data and term[2] == "!=" else None
    if kind == "compare":
        return bool(COMPARE[term[2]](stored, term[3]))
    if kind == "in":
        return stored in term[2]
    if kind == "between":
        return bool(term[2] <= stored <= term[3])
    return re.fullmatch(_expression(term[2]), stored, re.DOTALL | (re.IGNORECASE if term[3] else 0)) is not None


def _expression(pattern: str) -> str:
    signs = {"%": ".*", "_": "."}
    return "".join(
        re.escape(part[1:]) if part[0] == "\\" else signs.get(part) or re.escape(part)
        for part in re.findall(r"\\.|.", pattern, re.DOTALL)
    )


def as_sql(term: Term, chance: random.Random) -> str:
    kind = term[0]
    if kind in ("and", "or"):
        word = chance.choice([kind, kind.upper()])
        return f" {word} ".join(f"({as_sql(one, chance)})" for one in term[1:])
    if kind == "not":
        return f"NOT ({as_sql(term[1], chance)})"
    name = chance.choice([term[1], f'"{term[1]}"', f"`{term[1]}`"])
    if kind == "null":
        return f"{name} IS NULL"
    if kind == "compare":
        return f"{name}{chance.choice(['', ' '])}{term[2]} {_literal(term[3])}"
    if kind == "in":
        return f"{name} in ({', '.join(map(_literal, term[2]))})"
    if kind == "between":
        return f"{name} BETWEEN {_literal(term[2])} AND {_literal(term[3])}"
    return f"{name} {'ILIKE' if term[3] else 'LIKE'} {_literal(term[2])}"


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def as_data(term: Term) -> dict[str, Json] | None:
    """None where data has no spelling for it."""
    kind = term[0]
    if kind in ("and", "or", "not"):
        inner = [as_data(one) for one in term[1:]]
        if None in inner:
            return None
        return {"$not": inner[0]} if kind == "not" else {f"${kind}": inner}
    if kind == "null":
        return {term[1]: {"$exists": False}}
    if kind == "compare":
        return {term[1]: {NAMES[term[2]]: term[3]}}
    if kind == "in":
        return {term[1]: {"$in": term[2]}}
    if kind == "between":
        return {term[1]: {"$gte": term[2], "$lte": term[3]}}
    return None


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 21))])
def test_filters_answer_as_a_plain_evaluation_does(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    documents = [random_document(chance, number) for number in range(150)]
    spelt_as_data = matched = 0
    with connect(tmp_path / "store", create=True) as store:
        store.upsert(documents)
        corpus = store.resources.corpus
        version = corpus.state().version
        for _ in range(500):
            term = random_filter(chance, depth=3)
            spellings: list[tuple[Any, bool]] = [(as_sql(term, chance), False)]
            if (data := as_data(term)) is not None:
                spellings.append((data, True))
                spelt_as_data += 1
            for where, is_data in spellings:
                expected = {one.id for one in documents if holds(term, one, as_data=is_data)}
                assert set(corpus.matching(where_text(where) or "", version=version).to_pylist()) == expected, where
                matched += bool(expected) and len(expected) < len(documents)
    assert spelt_as_data > 100
    assert matched > 200  # neither nothing nor everything: such answers tell little
