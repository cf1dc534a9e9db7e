"""The language of gates: what is written is what is read, and nothing is guessed.

Covers switching.gates.grammar.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrollback.errors import UsageError
from vecrollback.switching.gates.grammar import ALIKE, JUDGED, SUBJECTS, Gate, parse

shares = st.floats(0.001, 0.999).map(lambda value: round(value, 4))
spaces = st.sampled_from([" ", "  ", "\t"])


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("ndcg@10 >= 0.98 * live", Gate("", "judged", "ndcg@10", ">=", 0.98, of_live=True, k=10)),
        ("NDCG@10>=98%*live", Gate("", "judged", "ndcg@10", ">=", 0.98, of_live=True, k=10)),
        ("mrr@5 > live", Gate("", "judged", "mrr@5", ">", 1.0, of_live=True, k=5)),
        ("recall@3 on incident-12 >= 90%", Gate("", "judged", "recall@3", ">=", 0.9, k=3, tag="incident-12")),
        ("recall@10 of the index >= 0.95", Gate("", "index", "recall@10 of the index", ">=", 0.95, k=10)),
        ("overlap@10 >= .5", Gate("", "alike", "overlap@10", ">=", 0.5, k=10)),
        ("latency p99 <= 50 ms", Gate("", "latency", "p99", "<=", 50.0, k=10)),
        ("latency p50 <= 1.5s", Gate("", "latency", "p50", "<=", 1500.0, k=10)),
        ("latency p99 <= 2 * live", Gate("", "latency", "p99", "<=", 2.0, of_live=True, k=10)),
        ("purity certificate <= 0.1% at 99%", Gate("", "purity", "purity certificate", "<=", 0.001, confidence=0.99)),
        ("lag = 0", Gate("", "lag", "lag", "=", 0.0)),
        ("lag <= 1000", Gate("", "lag", "lag", "<=", 1000.0)),
    ],
)
def test_a_gate_is_read_as_it_is_written(text: str, gate: Gate) -> None:
    read = parse(text)
    assert read.text == text
    assert (read.kind, read.measure, read.relation, read.of_live, read.k, read.tag) == (
        gate.kind,
        gate.measure,
        gate.relation,
        gate.of_live,
        gate.k,
        gate.tag,
    )
    assert (read.value, read.confidence) == pytest.approx((gate.value, gate.confidence))


@pytest.mark.parametrize(
    ("text", "said", "column"),
    [
        ("ndgc@10 >= 0.5", "did you mean 'ndcg'", 1),
        ("accuracy >= 0.5", "'accuracy' is not a valid measure", 1),
        ("", "it is empty", 1),
        ("ndcg >= 0.5", "expected '@'", 6),
        ("ndcg@0 >= 0.5", "K must be", 6),
        ("ndcg@10", "a relation is missing", 8),
        ("ndcg@10 0.5", "'0.5' is not a valid relation", 9),
        ("ndcg@10 >= ", "expected a number, it ends", 12),
        ("ndcg@10 >= good", "found 'good'", 12),
        ("ndcg@10 >= 0.98 * life", "expected 'live'", 19),
        ("ndcg@10 >= 98", "write 0.98 or 98%", 14),
        ("ndcg@10 <= 0.5", "better when large", 9),
        ("ndcg@10 >= 0.5 ms", "did not expect 'ms'", 16),
        ("ndcg@10 >= 0.5 or lag = 0", "did not expect 'or'", 16),
        ("ndcg@10 on >= 0.5", "`on` needs a tag", 12),
        ("lag >= 0", "better when small", 5),
        ("lag = 0.5", "whole number", 10),
        ("lag = live", "cannot be compared", 7),
        ("latency p95 <= 5 ms", "'p50' or 'p99'", 9),
        ("latency p99 <= 50", "needs `ms`", 18),
        ("recall@5 of the index >= 0.95", "only recall@10", 1),
        ("recall@10 of an index >= 0.95", "expected 'the'", 14),
        ("purity certificate <= 0.1%", "expected 'at'", 27),
        ("purity certificate <= 0% at 99%", "a sample can never certify 0%", 32),
        ("purity certificate <= 0.1% at 100%", "between 0% and 100%", 1),
        ("overlap@10 >= 0.9 * live", "cannot be compared", 21),
        ("ndcg@10 >= __import__('os')", "expected a number", 12),
    ],
)
def test_what_cannot_be_read_is_pointed_at(text: str, said: str, column: int) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text, "vecrollback.toml:7")
    assert str(refused.value).startswith(f"vecrollback.toml:7: gate {text!r}, column ")
    assert said in str(refused.value)
    if column > 1:
        assert f"column {column}:" in str(refused.value)
    assert all(subject in refused.value.hint for subject in SUBJECTS)


@given(st.sampled_from(JUDGED), st.integers(1, 1000), shares, st.booleans(), st.booleans(), spaces)
def test_every_spelling_means_the_same(name: str, k: int, value: float, percent: bool, live: bool, gap: str) -> None:
    bound = f"{value * 100:.4f}{gap}%" if percent else f"{value:.6f}"
    gate = parse(f"{name}{gap}@{gap}{k}{gap}>={gap}{bound}{f'{gap}*{gap}live' if live else ''}{gap}")
    assert (gate.measure, gate.k, gate.of_live) == (f"{name}@{k}", k, live)
    assert gate.value == pytest.approx(value, abs=1e-6)
    assert gate.holds(value + 0.01, gate.value) and not gate.holds(value - 0.01, gate.value)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        gate = parse(text)
    except UsageError as error:
        assert error.hint
    else:
        assert gate.measure.partition("@")[0] in (*JUDGED, *ALIKE, *SUBJECTS, "p50", "p99")


SENTENCE = "ndcg recall @ 10 0.9 of the index on tag >= <= = * live % at purity certificate lag latency p99 ms"
words = st.sampled_from(SENTENCE.split())


@given(st.lists(words, max_size=12))
def test_what_reads_reads_again_the_same(parts: list[str]) -> None:
    try:
        gate = parse(" ".join(parts))
    except UsageError:
        return
    assert parse(gate.text) == gate
