"""Texts that are longer than a service reads: cut here, where the service would refuse them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vecrollback.embedders.hf_tokenizer import HfTokenizer
from vecrollback.embedders.model_files import locate
from vecrollback.embedders.spec import Arguments, parse
from vecrollback.errors import EmbedderSpecError, TextTooLongError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray

_SHORTER = 3 / 4
"""A text that was refused as too long is tried again at so much of its length."""

_SPECIAL = 8
"""More special tokens than any tokenizer puts around a text."""

_SHORTEST = 16
"""Characters: a service that refuses this much refuses for another reason."""

Embed = Callable[[list[str]], FloatArray]


class TextLimit:
    """What is done with a long text before and after it is sent. All of it shapes vectors.

    Args:
        max_characters: Characters of a text, its prompt included, that are sent.
        max_length: Tokens that are sent, special ones included; counted by `tokenizer`.
        tokenizer: The model's own tokenizer; also what `chunk=tokens:` counts with.
        digest: What the tokenizer is, for the contract.
        cut: Whether a text that the service calls too long is sent again, shorter each time.
    """

    def __init__(
        self,
        max_characters: int | None = None,
        max_length: int | None = None,
        tokenizer: HfTokenizer | None = None,
        digest: str = "",
        *,
        cut: bool = False,
    ) -> None:
        self._max_characters, self._max_length, self._cut = max_characters, max_length, cut
        self.tokenizer, self._digest = tokenizer, digest

    def contract(self) -> dict[str, Json]:
        """What of it shapes vectors; nothing where nothing is set."""
        facts: dict[str, Json] = {
            "max_characters": self._max_characters,
            "max_length": self._max_length,
            "tokenizer": self._digest or None,
            "too_long": "cut" if self._cut else None,
        }
        return {name: value for name, value in facts.items() if value is not None}

    def apply(self, texts: list[str]) -> list[str]:
        """The texts, the long ones cut."""
        return [self._beginning(text) for text in texts]

    def fit(self, embed: Embed, texts: list[str]) -> FloatArray:
        """`embed(texts)`; with `cut`, what the service calls too long is sent again, alone and shorter each time.

        The vector of a text depends on the text and on the service's limit, never on what stood beside it.
        """
        try:
            return embed(texts)
        except TextTooLongError:
            if not self._cut:
                raise
            if len(texts) > 1:
                middle = len(texts) // 2
                return np.concatenate([self.fit(embed, texts[:middle]), self.fit(embed, texts[middle:])])
            shorter = texts[0][: int(len(texts[0]) * _SHORTER)]
            if len(shorter) < _SHORTEST:
                raise
            return self.fit(embed, [shorter])

    def _beginning(self, text: str) -> str:
        if self._max_characters is not None:
            text = text[: self._max_characters]
        if self._max_length is None or self.tokenizer is None:
            return text
        if len(text.encode("utf-8", "replace")) + _SPECIAL <= self._max_length:  # no text has more tokens than bytes
            return text
        special = len(self.tokenizer.native.encode("").ids)
        spans = self.tokenizer.spans(self.tokenizer.clip(text, self._max_length))
        most = self._max_length - special
        return text[: spans[most - 1][1]] if len(spans) > most else text


def read_limit(arguments: Arguments) -> TextLimit:
    """Read `max_characters`, `max_length`, `tokenizer` and `too_long`.

    Raises:
        EmbedderSpecError: `max_length` without a tokenizer to count with, or a value that is not valid.

    Example:
        >>> read_limit(Arguments({"max_characters": "16"})).apply(["Ships leave at dawn.", "Sea"])
        ['Ships leave at d', 'Sea']
    """
    max_length = arguments.integer("max_length", None, minimum=8)
    name = arguments.text("tokenizer", None)
    if max_length is not None and name is None:
        raise EmbedderSpecError(
            "max_length= counts tokens, and a service does not hand out its tokenizer",
            hint="name a directory or hub name with tokenizer=, or count characters with max_characters=",
        )
    tokenizer, digest = _tokenizer(name) if name else (None, "")
    return TextLimit(
        arguments.integer("max_characters", None, minimum=_SHORTEST),
        max_length,
        tokenizer,
        digest,
        cut=arguments.choice("too_long", ("refuse", "cut"), "refuse") == "cut",
    )


def _tokenizer(name: str) -> tuple[HfTokenizer, str]:
    here = Path(name).expanduser()
    directory = here if (here / "tokenizer.json").is_file() else locate(parse(name, ()), None)
    file = directory / "tokenizer.json"
    if not file.is_file():
        raise EmbedderSpecError(
            f"tokenizer={name}: {directory} holds no tokenizer.json", hint="give the directory that holds the model's"
        )
    return HfTokenizer(directory), hashlib.sha256(file.read_bytes()).hexdigest()[:32]
