"""How services write a request for embeddings, and where their vectors stand in the answer.

Most speak OpenAI's form, more or less; some have one of their own. Which fields a service wants beside the texts is a
matter of its profile (`body.`, `document.`, `query.`), not of its form.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vecrollback.embedders.common import excerpt
from vecrollback.errors import EmbeddingError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray

Decode = Callable[[str], FloatArray]
"""From the base64 of one vector to its numbers."""


@dataclass(frozen=True, slots=True)
class WireForm:
    """One way to ask for embeddings.

    Attributes:
        path: Follows the base address; `{model}` is replaced by the model's name.
        answer: The field of the answer that holds the vectors; "" where the answer is the list itself.
        body: The request: (model, texts, dimensions or None, fields of the profile) to JSON.
        encoded: Whether the form knows `encoding_format`.
    """

    path: str
    answer: str
    body: Callable[[str, list[str], int | None, Mapping[str, Json]], dict[str, Json]]
    encoded: bool = False


def _openai(model: str, texts: list[str], dimensions: int | None, fields: Mapping[str, Json]) -> dict[str, Json]:
    sized = {} if dimensions is None else {"dimensions": dimensions}
    return {"model": model, "input": texts} | sized | dict(fields)


def _cohere(model: str, texts: list[str], dimensions: int | None, fields: Mapping[str, Json]) -> dict[str, Json]:
    sized = {} if dimensions is None else {"output_dimension": dimensions}
    return {"model": model, "texts": texts, "embedding_types": ["float"]} | sized | dict(fields)


def _gemini(model: str, texts: list[str], dimensions: int | None, fields: Mapping[str, Json]) -> dict[str, Json]:
    sized = {} if dimensions is None else {"outputDimensionality": dimensions}
    one = {"model": f"models/{model}"} | sized | dict(fields)
    return {"requests": [one | {"content": {"parts": [{"text": text}]}} for text in texts]}


def _tei(_: str, texts: list[str], dimensions: int | None, fields: Mapping[str, Json]) -> dict[str, Json]:
    sized = {} if dimensions is None else {"dimensions": dimensions}
    return {"inputs": texts, "truncate": False} | sized | dict(fields)


def _ollama(model: str, texts: list[str], dimensions: int | None, fields: Mapping[str, Json]) -> dict[str, Json]:
    sized = {} if dimensions is None else {"dimensions": dimensions}
    return {"model": model, "input": texts, "truncate": False} | sized | dict(fields)


WIRE_FORMS: Mapping[str, WireForm] = {
    "openai": WireForm("/embeddings", "data", _openai, encoded=True),
    "cohere": WireForm("/v2/embed", "embeddings", _cohere),
    "gemini": WireForm("/v1beta/models/{model}:batchEmbedContents", "embeddings", _gemini),
    "tei": WireForm("/embed", "", _tei),
    "ollama": WireForm("/api/embed", "embeddings", _ollama),
}
"""By the value of `protocol=`. `tei` and `ollama` are their own forms, which can be told not to cut a text."""


def rows_of(answer: Any, texts: list[str], decode: Decode, form: WireForm) -> FloatArray:
    """The vectors of an answer in the order of the texts: float32, shape (len(texts), dimension).

    Raises:
        EmbeddingError: It is not a list of vectors, or not one vector of one size for each text.
    """
    try:
        placed = sorted(_placed(answer, form), key=lambda item: item[0])
        places = [place for place, _ in placed]
        rows = [_row(value, decode) for _, value in placed]
    except (KeyError, TypeError, ValueError) as error:
        raise EmbeddingError(
            f"the service's answer is not a list of embeddings: {type(error).__name__}: {error}",
            hint="check base_url, which usually ends in /v1 for OpenAI's form, and protocol= for the others",
        ) from error
    if places != list(range(len(texts))):
        raise EmbeddingError(
            f"the service answered {len(texts)} texts with {len(places)} vectors (places {_shown(places)})",
            hint="lower batch_size= if the service has a limit per request",
        )
    sizes = [len(row) for row in rows]
    odd = next((i for i, size in enumerate(sizes) if size != sizes[0]), None)
    if odd is not None:
        raise EmbeddingError(
            f"text {odd} got a vector of {sizes[odd]} dimensions, text 0 one of {sizes[0]}: {excerpt(texts[odd])}",
            hint="the service is faulty: ask its provider",
        )
    return np.stack(rows)


def _placed(answer: Any, form: WireForm) -> list[tuple[int, object]]:
    """Vectors with their places. An item that does not say its place stands where it belongs (Gemini omits 0)."""
    items = answer[form.answer] if form.answer else answer
    if isinstance(items, dict):  # Cohere: by type of number
        items = items["float"]
    if not isinstance(items, list):
        raise TypeError(f"{form.answer or 'it'} is a {type(items).__name__}")
    placed: list[tuple[int, object]] = []
    for i, item in enumerate(items):
        if isinstance(item, dict):
            place = item.get("index")
            placed.append(
                (i if place is None else int(place), item["values"] if "values" in item else item["embedding"])
            )
        else:
            placed.append((i, item))
    return placed


def _row(value: object, decode: Decode) -> FloatArray:
    if isinstance(value, str):
        return decode(value)
    return np.array(value, dtype=np.float32)


def _shown(places: list[int]) -> str:
    return str(places) if len(places) <= 8 else f"{places[:8]}..."


# -- base64 ---------------------------------------------------------------------------------------------------------

_NUMBERS: Mapping[int, tuple[str, ...]] = {8: ("<f8",), 4: ("<f4",), 2: ("<f2", "bfloat16"), 1: ("i1",)}
"""Numbers by their width in bytes."""

_SAME = 0.99
"""Cosine with the same vector in decimal numbers, which int8 still reaches and a wrong reading never does."""


class Base64Numbers:
    """Reads vectors in base64, whatever the width of their numbers: 8, 4, 2 (two kinds) or 1 byte.

    Four bytes where the dimension is known and says so. Else the same text is asked for once more in decimal numbers,
    and what agrees with them is the width from then on.
    """

    def __init__(self, dimension: int | None) -> None:
        self._dimension = dimension
        self.kind: str | None = None

    def settles(self, text: str) -> bool:
        """Whether the width is known after looking at the base64 of one vector."""
        if self.kind is None and self._dimension and len(_bytes(text)) == 4 * self._dimension:
            self.kind = "<f4"
        return self.kind is not None

    def learn(self, text: str, same: FloatArray | None) -> None:
        """Settle the width by the base64 of one vector and the same vector in decimal numbers, where there is one."""
        data = _bytes(text)
        if same is None:
            self.kind = "<f4"
            return
        for kind in _NUMBERS.get(len(data) // len(same), ()):
            row = _numbers(data, kind)
            with np.errstate(all="ignore"):
                near = float(row @ same / (np.linalg.norm(row) * np.linalg.norm(same)))
            if near >= _SAME:
                self.kind = kind
                return
        raise EmbeddingError(
            f"a vector of {len(same)} numbers came as {len(data)} bytes of base64, which hold other numbers",
            hint="use encoding_format=float, or encoding_format=none to leave it to the service",
        )

    def __call__(self, text: str) -> FloatArray:
        return _numbers(_bytes(text), self.kind or "<f4")


def first_base64(answer: Any, form: WireForm) -> str | None:
    """The first vector of an answer if it is base64; None when it is not, or when the answer is none."""
    try:
        value = _placed(answer, form)[0][1]
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return value if isinstance(value, str) else None


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _numbers(data: bytes, kind: str) -> FloatArray:
    if kind == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, dtype=kind).astype(np.float32)


def tokens_used(answer: Any) -> int | None:
    """Tokens that an answer says it cost; None when it does not tell."""
    if not isinstance(answer, dict):
        return None
    usage, meta = answer.get("usage"), answer.get("meta")
    billed = meta.get("billed_units") if isinstance(meta, dict) else None
    counts: Sequence[object] = (
        *((usage.get("total_tokens"), usage.get("prompt_tokens")) if isinstance(usage, dict) else ()),
        *((billed.get("input_tokens"),) if isinstance(billed, dict) else ()),
        answer.get("prompt_eval_count"),
    )
    return next((int(one) for one in counts if isinstance(one, int | float) and one > 0), None)
