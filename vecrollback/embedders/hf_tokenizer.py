"""A model's own tokenizer without the model: token offsets for chunking, and counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vecrollback.embedders.chunking import pieces
from vecrollback.errors import EmbedderSpecError

_BATCH = 1_000
_CHARACTERS_PER_TOKEN = 32
_MARGIN = 8


class HfTokenizer:
    """The `tokenizers.Tokenizer` of a model directory, with truncation and padding off.

    Safe to use from several threads: nothing in it changes after it was loaded.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def native(self) -> Any:
        tokenizer = _load(self._directory)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character offsets of each token, special tokens left out."""
        return list(self._spans(text))

    def lengths(self, texts: Sequence[str], prompt: str, limit: int | None) -> list[int]:
        """Tokens of prompt and text for each text, special tokens included, at most `limit`."""
        counts: list[int] = []
        for start in range(0, len(texts), _BATCH):
            encoded = self.native.encode_batch([prompt + text for text in texts[start : start + _BATCH]])
            counts += (len(one) if limit is None else min(len(one), limit) for one in encoded)
        return counts

    def clip(self, text: str, limit: int) -> str:
        """Return a beginning of `text` whose first `limit` tokens are the text's own.

        Models tokenise the whole text and then throw all but `limit` tokens away: 9 s for 10 MB, where embedding the
        beginning takes 0.1 s.
        """
        size = limit * _CHARACTERS_PER_TOKEN
        while len(text) > 2 * size:
            beginning = next(piece for _, piece in pieces(text, size))
            # Tokens at the very end of the beginning may be others than in the whole text.
            if len(self.native.encode(beginning, add_special_tokens=False)) >= limit + _MARGIN:
                return beginning
            size *= 4
        return text

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        for offset, piece in pieces(text):
            for start, end in self.native.encode(piece, add_special_tokens=False).offsets:
                if end > start:
                    yield offset + start, offset + end


def _load(directory: Path) -> Any:
    file = directory / "tokenizer.json"
    if file.is_file():
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(file))
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(directory), local_files_only=True).backend_tokenizer
    except Exception as error:
        raise EmbedderSpecError(
            f"no tokenizer could be read from {directory}: {error}",
            hint="use chunk=none, or save the model with a fast tokenizer (tokenizer.json)",
        ) from error
