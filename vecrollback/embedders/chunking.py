"""Splitting a document into chunks. The rule is an argument of the embedder and part of its contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from vecrollback.errors import EmbedderSpecError
from vecrollback.records import Span

Method = Literal["none", "tokens", "semantic"]
Chunker = Callable[[str], list[Span]]

PIECE = 100_000
"""Characters tokenised at once: the tokenizers' cost per character grows with the length of one input."""

_SYNTAX = "chunk=none, chunk=tokens:SIZE:OVERLAP or chunk=semantic:SIZE[:OVERLAP]"
_SPACE = re.compile(r"\s")


class Tokenizer(Protocol):
    """What a chunker needs of a model's tokenizer."""

    @property
    def native(self) -> Any | None:
        """The `tokenizers.Tokenizer` behind it, without truncation; None when there is none."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character offsets of each token of `text`, in order, special tokens left out."""
        ...


@dataclass(frozen=True, slots=True)
class ChunkRule:
    """How documents are split. `str()` is the canonical form that enters the contract."""

    method: Method = "none"
    size: int = 0
    overlap: int = 0

    def __str__(self) -> str:
        return "none" if self.method == "none" else f"{self.method}:{self.size}:{self.overlap}"


def parse_rule(value: str) -> ChunkRule:
    """Read the value of `chunk=`.

    Raises:
        EmbedderSpecError: It is not a way to split, or the overlap is not smaller than the size.

    Example:
        >>> str(parse_rule("semantic:200"))
        'semantic:200:0'
    """
    if value == "none":
        return ChunkRule()
    match = re.fullmatch(r"(?:(tokens):(\d+):(\d+)|(semantic):(\d+)(?::(\d+))?)", value)
    if match is None:
        raise EmbedderSpecError(f"chunk={value!r} is not a way to split", hint=f"write {_SYNTAX}")
    tokens, token_size, token_overlap, _, size, overlap = match.groups()
    rule = (
        ChunkRule("tokens", int(token_size), int(token_overlap))
        if tokens
        else ChunkRule("semantic", int(size), int(overlap or 0))
    )
    if not 0 <= rule.overlap < rule.size:
        raise EmbedderSpecError(
            f"chunk={value!r}: the overlap {rule.overlap} must be smaller than the size {rule.size}",
            hint="an overlap of 10 to 20% of the size is usual",
        )
    return rule


def make_chunker(rule: ChunkRule, tokenizer: Tokenizer | None) -> Chunker:
    """Make the function that splits by a rule.

    Args:
        rule: How to split.
        tokenizer: What sizes are counted in. Without one `semantic` counts characters.

    Returns:
        A function from a text to the spans of its chunks. A blank text has none, any other at least one.

    Raises:
        EmbedderSpecError: `tokens` without a tokenizer.

    Example:
        >>> make_chunker(parse_rule("semantic:12"), None)("Ships leave. Trains go.")
        [Span(start=0, end=12), Span(start=13, end=23)]
    """
    if rule.method == "none":
        return _whole
    if rule.method == "semantic":
        return _semantic(rule, tokenizer)
    if tokenizer is None:
        raise EmbedderSpecError(
            f"chunk={rule} needs the model's tokenizer, and this kind of embedder has none",
            hint=f"use chunk=semantic:{rule.size * 4}, which counts characters here",
        )
    return _by_tokens(rule, tokenizer)


def pieces(text: str, limit: int = PIECE) -> Iterator[tuple[int, str]]:
    """Cut a long text before white space into pieces of at most `limit` characters; yield (offset, piece)."""
    start = 0
    while len(text) - start > limit:
        end = _last_space(text, start + limit // 2, start + limit)
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def _last_space(text: str, start: int, end: int) -> int:
    place = end
    # Before white space, where tokenizers split anyway: the pieces give the tokens of the whole text.
    for match in _SPACE.finditer(text, start, end):
        place = match.start()
    return place


def _whole(text: str) -> list[Span]:
    return [Span(0, len(text))] if text.strip() else []


def _by_tokens(rule: ChunkRule, tokenizer: Tokenizer) -> Chunker:
    def chunk(text: str) -> list[Span]:
        if not text.strip():
            return []
        tokens = tokenizer.spans(text)
        return list(_windows(rule, tokens)) or _whole(text)

    return chunk


def _windows(rule: ChunkRule, tokens: list[tuple[int, int]]) -> Iterator[Span]:
    for first in range(0, len(tokens), rule.size - rule.overlap):
        last = min(first + rule.size, len(tokens)) - 1
        yield Span(tokens[first][0], tokens[last][1])
        if last == len(tokens) - 1:
            return


def _semantic(rule: ChunkRule, tokenizer: Tokenizer | None) -> Chunker:
    from semantic_text_splitter import TextSplitter

    splitter = _splitter(TextSplitter, rule, tokenizer)

    def chunk(text: str) -> list[Span]:
        if not text.strip():
            return []
        indices = splitter.chunk_indices(text)
        return [Span(start, start + len(chunk)) for start, chunk in indices] or _whole(text)

    return chunk


def _splitter(factory: Any, rule: ChunkRule, tokenizer: Tokenizer | None) -> Any:
    if tokenizer is None:
        return factory(rule.size, rule.overlap)
    if tokenizer.native is not None:
        return factory.from_huggingface_tokenizer(tokenizer.native, rule.size, rule.overlap)
    return factory.from_callback(lambda text: len(tokenizer.spans(text)), rule.size, rule.overlap)
