"""No filter ends the process or takes its memory: attacks, known ones and generated, in a child with a limit."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from vecrollback.records import Document
from vecrollback.store.store import connect

ROOM = 256 << 20
"""Bytes of address space that a child may take beyond what it had with the store open and a filter answered."""

CHILD = """
    import json, resource, sys
    from vecrollback.corpus.selection import DocumentSet
    from vecrollback.errors import BadFilterError
    from vecrollback.records import where_text
    from vecrollback.store.store import connect

    def run(attacks):
        refused = answered = 0
        for attack in attacks:
            try:
                corpus.matching(DocumentSet.of(where_text(attack) or "year = 0", None), version=version)
                answered += 1
            except BadFilterError as error:
                assert error.hint and len(error.message) < 1_000, error.message
                refused += 1
        return {"refused": refused, "answered": answered}

    with connect(sys.argv[1]) as store:
        corpus = store.resources.corpus
        version = corpus.state().version
        corpus.matching(DocumentSet.of("year = 1 OR lang LIKE '%a_%b' OR nobody = 1", None), version=version)
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print(json.dumps(attacked()))
"""

KNOWN = """
    def attacked():
        deep, wide = 10_000, 1 << 20
        nested = {"year": 1}
        for _ in range(500):
            nested = {"$not": nested}
        return run([
            "year=" + "+".join(["1"] * 1_000),
            "year=" + "1+" * 100_000 + "1",
            "repeat('a', 1000000000) = 'a'",
            "lang = repeat('a', 1000000000)",
            "year > 2000; x",
            "(" * deep + "year = 1" + ")" * deep,
            "(" * deep,
            "NOT " * deep + "year = 1",
            "-" * deep,
            " AND ".join(["year = 1"] * deep),
            " OR ".join(["(year = 1)"] * deep),
            "year IN (" + ",".join(["1"] * 100_000) + ")",
            "'" * wide,
            "'" * (wide // 8 + 1),
            '"' * (wide // 8 + 1),
            "a" * wide,
            "a" * (wide // 8) + " = ",
            "9" * (wide // 8) + " = year",
            "1e" + "9" * 10_000 + " = year",
            "year = 1 " * (wide // 16),
            "lang LIKE '" + "%_" * 100_000 + "'",
            "lang LIKE '" + "%a" * 500 + "'",
            "\\\\ud800", "\\ud800", "\\0", "year = \\0",
            "{" * deep, '{"$not":' * deep, '{"$and":[' * deep, '{"year":{"$in":[' + "1," * 100_000 + "1]}}",
            "{" + '"year":' * deep, '{"year":' + "1" * 100_000 + "}", '{"year": 1e999}', '{"year": Infinity}',
            nested, {"year": {"$in": list(range(100_000))}}, {"$or": [{"year": 1}] * 100_000},
            {"a" * wide: 1}, {"year": "a" * wide}, {"year": 10 ** 4_000}, {"year": 10 ** 10_000},
        ])
"""

GENERATED = """
    from hypothesis import HealthCheck, given, settings, strategies as st

    names = st.sampled_from(["year", "lang", "ok", "nobody", '"year"', "`lang`", "id", "_seq", "text", "año", "AND"])
    values = st.one_of(
        st.integers().map(str), st.floats().map(str), st.text().map(lambda s: "'" + s.replace("'", "''") + "'"),
        st.sampled_from(["TRUE", "null", "DATE '2026-01-01'", "1+1", "repeat('a', 9)", "-", "x"]),
    )
    compared = st.tuples(names, st.sampled_from(["=", "<", ">=", "!=", " LIKE ", " IN ", " IS "]), values).map("".join)
    listed = st.tuples(names, st.lists(values, max_size=5)).map(lambda t: f"{t[0]} IN ({', '.join(t[1])})")
    between = st.tuples(names, values, values).map(lambda t: f"{t[0]} BETWEEN {t[1]} AND {t[2]}")
    grammar = st.recursive(
        compared | listed | between,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from([" AND ", " OR ", " ; ", ", "]), inner).map("".join),
            inner.map(lambda s: f"({s})"), inner.map(lambda s: f"NOT {s}"),
        ),
        max_leaves=20,
    )
    signs = ["(", ")", "'", '"', "`", ";", "--", "/*", "\\\\", "%", "{", "}", "$"]
    noise = st.text(max_size=4) | st.sampled_from(signs)

    @st.composite
    def mutated(draw):
        text = draw(grammar)
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(text)))
            text = text[:at] + draw(noise) + text[at + draw(st.integers(0, 3)):]
        return text * draw(st.sampled_from([1, 1, 1, 2, 300]))

    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    operators = ["$and", "$or", "$not", "$in", "$nin", "$gt", "$ne", "$exists", "$eq"]
    words = st.sampled_from(["year", "lang", "_x", "", *operators])
    data = st.dictionaries(words, st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=10
    ), max_size=3)

    every = st.one_of(mutated(), data, st.text())
    every.validate()  # what the generator takes for itself is not counted

    def attacked():
        told = {"refused": 0, "answered": 0}
        quick = settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES < 1_000,
                         suppress_health_check=list(HealthCheck))

        @quick
        @given(every)
        def attack(where):
            for outcome, count in run([where]).items():
                told[outcome] += count

        attack()
        return told
"""


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attacks") / "store"
    with connect(path, create=True) as store:
        store.upsert([Document(f"d{n}", "text", {"year": 2000 + n, "lang": "ab" * n, "ok": True}) for n in range(50)])
    return path


def _child(store: Path, attacks: str) -> dict[str, int]:
    code = textwrap.dedent(CHILD).replace("with connect", textwrap.dedent(attacks) + "\nwith connect", 1)
    arguments = [sys.executable, "-c", code, str(store), str(ROOM)]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, (ended.returncode, ended.stderr[-3_000:])
    outcome: dict[str, int] = json.loads(ended.stdout)
    return outcome


def test_known_attacks_are_refused_within_bounded_memory(store_path: Path) -> None:
    outcome = _child(store_path, KNOWN)
    assert outcome == {"refused": 40, "answered": 1}  # 500 times `%a` is a valid pattern


@pytest.mark.parametrize("examples", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_generated_filters_are_answered_or_refused(store_path: Path, examples: int) -> None:
    outcome = _child(store_path, GENERATED.replace("EXAMPLES", str(examples)))
    assert outcome["refused"] > examples / 10
    assert outcome["answered"] > examples / 20
