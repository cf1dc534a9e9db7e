"""The hashing embedder: vectors without a model, for tests and for a first run.

`hash:DIM?seed=N` counts words, pairs of neighbouring words and parts of words, and adds each to one of DIM coordinates
with a sign, both chosen by a hash ("feature hashing", Weinberger et al. 2009). Texts that share words are near each
other; that is all it knows. Two seeds are two models of one dimension whose vectors are unrelated.

The same text gives the same bits on every machine: all weights are binary fractions, so sums are exact in any order.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vecrollback.embedders.base import Traits
from vecrollback.embedders.common import Role, Shape, SharedEmbedder, prefixed, read_shape
from vecrollback.embedders.spec import Spec
from vecrollback.errors import EmbedderSpecError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray

_VERSION = 1
"""Part of the contract: raise it when the features change, for then old vectors are another model's."""

_WORD = re.compile(r"\w{1,32}")
_TOKEN = re.compile(r"\w+|[^\w\s]")

_WORD_WEIGHT, _SHORT_WEIGHT, _PAIR_WEIGHT, _PART_WEIGHT = 1.0, 0.25, 0.5, 0.25
_SHORT = 3
"""Words of up to three letters count less: in most languages they are mostly grammar."""

# Bounds the memory of the cache of words, which is emptied when it is full.
_VOCABULARY = 100_000
_SLICE = 1 << 15
_BLOCK = 512
_MAX_DIMENSION = 65_536

Hashes = NDArray[np.uint64]


def open_hashing(spec: Spec) -> HashingEmbedder:
    """Open `hash:DIM?seed=N&noise=X`."""
    if not spec.target.isascii() or not spec.target.isdigit() or not 8 <= int(spec.target) <= _MAX_DIMENSION:
        raise EmbedderSpecError(
            f"hash:{spec.target}: the dimension must be a whole number from 8 to {_MAX_DIMENSION}",
            hint="for example hash:384?seed=1",
        )
    arguments = spec.arguments
    seed = arguments.integer("seed", 0, minimum=0)
    noise = arguments.number("noise", 0.0)
    shape = read_shape(arguments)
    arguments.refuse_unknown("hash")
    return HashingEmbedder(spec, shape, int(spec.target), seed=seed, noise=noise)


class HashingEmbedder(SharedEmbedder):
    """Signed hashing of words, word pairs and parts of words.

    `noise` adds to each unit vector a vector of that length whose direction depends on the text and the seed: a
    near relative of the model without noise, at a cosine of about 1 / sqrt(1 + noise²).
    """

    def __init__(self, spec: Spec, shape: Shape, dimension: int, *, seed: int, noise: float) -> None:
        super().__init__(spec, shape)
        self._dimension = dimension
        self._seed = seed
        self._noise = noise
        self._words = _Vocabulary(seed)

    @property
    def traits(self) -> Traits:
        return Traits(light=True)

    @property
    def dimension(self) -> int:
        return self._dimension

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Words and punctuation marks: what this embedder calls tokens."""
        prompt = self._shape.document_prompt
        return sum(len(_TOKEN.findall(prompt + text)) for text in texts)

    def _identity(self) -> dict[str, Json]:
        return {"version": _VERSION, "dimension": self._dimension, "seed": self._seed, "noise": self._noise}

    def _tokenizer(self) -> WordTokenizer:
        return WordTokenizer()

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        texts = prefixed(texts, self._shape.prompt(role))
        rows = np.empty((len(texts), self._dimension), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK):
            rows[start : start + _BLOCK] = self._block(texts[start : start + _BLOCK])
        return rows

    def _block(self, texts: list[str]) -> NDArray[np.float64]:
        # In float64 and rounded once by the caller: the bits do not depend on how a machine orders float32 sums.
        sums = np.zeros(len(texts) * self._dimension)
        for rows, words in _slices(texts):
            self._add(sums, rows, words)
        vectors = sums.reshape(len(texts), self._dimension)
        self._fill_empty(vectors, texts)
        if self._noise:
            _scale(vectors)
            vectors += self._noise * _scale(np.stack([_directions(t, self._seed, self._dimension) for t in texts]))
        return _scale(vectors) if self._shape.normalize else vectors

    def _add(self, sums: NDArray[np.float64], rows: NDArray[np.int64], words: list[str]) -> None:
        hashes, counts, features, weights = self._words.look_up(words)
        self._scatter(sums, np.repeat(rows, counts), features, weights)
        pairs = rows[1:] == rows[:-1]
        pair_hashes = _mix(hashes[:-1] * np.uint64(31) + hashes[1:])[pairs]
        self._scatter(sums, rows[1:][pairs], pair_hashes, np.full(len(pair_hashes), _PAIR_WEIGHT))

    def _scatter(
        self, sums: NDArray[np.float64], rows: NDArray[np.int64], features: Hashes, weights: NDArray[np.float64]
    ) -> None:
        columns = (features % np.uint64(self._dimension)).astype(np.int64)
        signs = 1.0 - 2.0 * (features >> np.uint64(63)).astype(np.float64)
        np.add.at(sums, rows * self._dimension + columns, signs * weights)

    def _fill_empty(self, vectors: NDArray[np.float64], texts: Sequence[str]) -> None:
        """Give texts without words, or whose features cancel out, a direction of their own."""
        for row in np.flatnonzero(~vectors.any(axis=1)).tolist():
            vectors[row] = _scale(_directions(texts[row], self._seed, self._dimension)[None])[0]


class WordTokenizer:
    """Words and punctuation marks as tokens."""

    native = None

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in _TOKEN.finditer(text)]


class _Vocabulary:
    """Features of the words seen so far, so that a word is hashed once."""

    def __init__(self, seed: int) -> None:
        self._key = seed.to_bytes(max(8, (seed.bit_length() + 7) // 8), "little")[:64]
        self._entries: dict[str, tuple[Hashes, NDArray[np.float64]]] = {}
        self._lock = threading.Lock()

    def look_up(self, words: list[str]) -> tuple[Hashes, NDArray[np.int64], Hashes, NDArray[np.float64]]:
        """Return hash and number of features per word, then all features and weights one after the other."""
        with self._lock:
            if len(self._entries) > _VOCABULARY:
                self._entries.clear()
            for word in words:
                if word not in self._entries:
                    self._entries[word] = _features(word, self._key)
            entries = [self._entries[word] for word in words]
        counts = np.array([len(features) for features, _ in entries], dtype=np.int64)
        features = np.concatenate([features for features, _ in entries])
        first = np.concatenate(([0], np.cumsum(counts)[:-1]))
        return features[first], counts, features, np.concatenate([weights for _, weights in entries])


@lru_cache(maxsize=1 << 13)  # the probes have most of the words that a second embedder of a seed is given
def _features(word: str, key: bytes) -> tuple[Hashes, NDArray[np.float64]]:
    padded = f"<{word}>"
    parts = [padded[i : i + n] for n in (3, 4) for i in range(len(padded) - n + 1)]
    names = [f"word {word}", *(f"part {part}" for part in parts)]
    weights = np.full(len(names), _PART_WEIGHT)
    weights[0] = _WORD_WEIGHT if len(word) > _SHORT else _SHORT_WEIGHT
    return np.array([_hash(name, key) for name in names], dtype=np.uint64), weights


def _slices(texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
    """Cut the words of all texts into slices of bounded memory; yield the text's row of each word, and the words."""
    rows: list[int] = []
    words: list[str] = []
    for row, text in enumerate(texts):
        text_words = _WORD.findall(text.lower())
        for start in range(0, len(text_words), _SLICE):
            part = text_words[start : start + _SLICE]
            rows += [row] * len(part)
            words += part
            if len(words) >= _SLICE:
                yield np.array(rows, dtype=np.int64), words
                rows, words = [], []
    if words:
        yield np.array(rows, dtype=np.int64), words


def _hash(name: str, key: bytes) -> int:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
    return int.from_bytes(digest, "little")


def _mix(values: Hashes) -> Hashes:
    """The finaliser of splitmix64: spreads every input bit over all 64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _directions(text: str, seed: int, dimension: int) -> NDArray[np.float64]:
    """A pseudo-random vector of whole numbers, so that its squares add up exactly in any order."""
    start = np.uint64(_hash(f"text {seed} {text}", b""))
    steps = np.arange(1, dimension + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (_mix(start + steps) >> np.uint64(48)).astype(np.float64) * 2 - 65_535


def _scale(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale rows to unit length in place."""
    vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return vectors
