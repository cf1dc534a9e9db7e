"""Splitting: complete, bounded, deterministic."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vecrollback.embedders import Embedder, open_embedder
from vecrollback.embedders.chunking import make_chunker, parse_rule, pieces
from vecrollback.embedders.hashing import WordTokenizer
from vecrollback.errors import EmbedderSpecError


def opened(path: str, chunk: str) -> Embedder:
    return open_embedder(f"{path}?chunk={chunk}")


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("none", "none"),
        ("tokens:256:32", "tokens:256:32"),
        ("semantic:100", "semantic:100:0"),
        ("semantic:100:010", "semantic:100:10"),
    ],
)
def test_a_rule_has_one_canonical_form(value: str, canonical: str) -> None:
    assert str(parse_rule(value)) == canonical
    assert parse_rule(canonical) == parse_rule(value)


@pytest.mark.parametrize("value", ["", "tokens", "tokens:0:0", "tokens:8", "tokens:8:8", "semantic:-1", "lines:3"])
def test_an_impossible_rule_is_refused(value: str) -> None:
    with pytest.raises(EmbedderSpecError):
        parse_rule(value)


def test_tokens_without_a_tokenizer_is_refused_with_the_alternative() -> None:
    with pytest.raises(EmbedderSpecError) as caught:
        open_embedder("openai:m?chunk=tokens:100:10").chunk("text")
    assert "semantic:400" in caught.value.hint


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.integers(1, 12), st.integers(0, 11))
def test_token_windows_cover_every_token_and_never_pass_the_size(text: str, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    tokens = WordTokenizer().spans(text)
    spans = make_chunker(parse_rule(f"tokens:{size}:{overlap}"), WordTokenizer())(text)
    assert bool(spans) == bool(text.strip())
    covered = [sum(s.start <= a and b <= s.end for s in spans) for a, b in tokens]
    assert all(count >= 1 for count in covered)
    assert all(len(WordTokenizer().spans(text[s.start : s.end])) <= size for s in spans if tokens)
    assert spans == sorted(set(spans))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400), st.integers(1, 50))
def test_semantic_chunks_hold_every_character_but_space(text: str, size: int) -> None:
    spans = make_chunker(parse_rule(f"semantic:{size}"), None)(text)
    assert bool(spans) == bool(text.strip())
    left = "".join(text[a.end : b.start] for a, b in itertools.pairwise(spans))
    assert not left.strip()


def test_neighbouring_windows_share_the_overlap() -> None:
    words = " ".join(f"w{i}" for i in range(100))
    spans = make_chunker(parse_rule("tokens:10:3"), WordTokenizer())(words)
    for one, two in itertools.pairwise(spans):
        assert len(words[two.start : one.end].split()) == 3
    assert spans[-1].end == len(words)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab \n", max_size=400), st.integers(2, 30))
def test_pieces_join_to_the_text(text: str, limit: int) -> None:
    found = list(pieces(text, limit))
    assert "".join(piece for _, piece in found) == text
    assert all(text[offset : offset + len(piece)] == piece and len(piece) <= limit for offset, piece in found)


def test_chunks_by_the_models_tokens_fit_and_name_their_place(minilm: str) -> None:
    text = "Überraschung! 機械学習 and tokenization of antidisestablishmentarianism. 🚀 " * 60
    embedder = opened(minilm, "tokens:50:10")
    spans = embedder.chunk(text)
    chunks = [text[s.start : s.end] for s in spans]
    assert len(chunks) > 10
    assert chunks[0].startswith("Überraschung")
    assert spans[-1].end == len(text.rstrip())
    # Two special tokens each, and one word cut in two can give one token more on its own.
    assert all(embedder.count_tokens([chunk]) <= 50 + 2 + 2 for chunk in chunks)


def test_semantic_chunks_fit_the_models_tokens(minilm: str) -> None:
    text = "A first sentence about rivers. A second one about engines, longer than the first.\n\nA paragraph. " * 30
    embedder = opened(minilm, "semantic:40")
    spans = embedder.chunk(text)
    assert all(embedder.count_tokens([text[s.start : s.end]]) <= 42 for s in spans)
    assert len(spans) > 5


def test_a_size_the_model_cannot_read_is_refused(minilm: str) -> None:
    with pytest.raises(EmbedderSpecError, match="254"):
        opened(minilm, "tokens:255:0").chunk("text")
    assert opened(minilm, "tokens:254:0").chunk("text")


@pytest.mark.parametrize("paragraphs", [15_000, pytest.param(150_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("chunk", ["tokens:200:20", "semantic:200"])
def test_megabytes_are_split_whole_and_the_same_each_time(minilm: str, chunk: str, paragraphs: int) -> None:
    """One megabyte; the slow run takes ten."""
    text = "\n\n".join(f"Paragraph {i} tells of rivers, engines and treaties. It ends here." for i in range(paragraphs))
    embedder = opened(minilm, chunk)
    spans = embedder.chunk(text)
    assert len(text) > 60 * paragraphs
    assert len(spans) > paragraphs // 30
    assert embedder.chunk(text[:500_000]) == embedder.chunk(text[:500_000])
    assert spans[0].start == 0
    assert spans[-1].end == len(text)


@pytest.mark.parametrize("text", ["a" * 300_000, "。" * 100_000, "\u200b" * 10, "\x00"])
def test_texts_without_a_place_to_cut_are_still_split(minilm: str, text: str) -> None:
    spans = opened(minilm, "tokens:100:10").chunk(text)
    assert spans
    assert all(s.start < s.end for s in spans)
