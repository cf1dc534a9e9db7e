"""Try an embedder: how much of a text it reads, what a request may hold, how far two of its answers differ.

What a provider's pages say is often not what its servers do, and a service says least about what matters most: that it
cuts a long text, or embeds queries as documents. So it is measured, with a few dozen requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vecrollback.embedders import open_embedder
from vecrollback.embedders.base import LEAST_FLOOR, Embedder, traits_of
from vecrollback.embedders.probe_texts import PROBES
from vecrollback.embedders.probes import NOISE_MARGIN
from vecrollback.embedders.service_profile import expand, table_of
from vecrollback.embedders.spec import arguments_of
from vecrollback.errors import EmbedderSpecError, EmbeddingError, TextRefusedError
from vecrollback.records.arrays import FloatArray, cosines

Beyond = Literal["read", "cut", "refused"]

_CALLS = 5
_SAMPLE = tuple(sorted((text for text in PROBES if len(text.split()) > 3), key=len)[:8])
"""Short probes of several words."""

_SAME = 1e-6
"""1 - cosine up to which two float32 vectors are one."""

_SHORTEST = 128
_PRECISION = 0.02
"""How exactly the length is found, as a share of it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured.

    Attributes:
        spec: The whole string of what was tried, which a profile is written from.
        floor: Least cosine at which the model counts as itself, if its noise allows it.
        dimension: Numbers in a vector.
        characters: Of English prose that are read of one text; the most that was tried where all of it was read.
        tokens: The same in tokens, as the embedder counts them.
        beyond: What happens to the rest of a longer text: "cut", "refused", or "read" as far as was tried.
        texts: Texts that one request takes, 0 for a model in this process.
        texts_limited: Whether more were refused, or no more were tried.
        noise: 1 - cosine of the two most different vectors that one text got in five calls.
        batch_effect: 1 - cosine of a text's vector alone and beside longer texts, at most.
        role_difference: 1 - cosine of a text as a query and as a document, at most; 0: it is symmetric.
        shortest, longest: Lengths (norms) of its vectors, as they come.
        requests, sent: What the trial took: calls, and characters in all.
    """

    spec: str
    floor: float
    dimension: int
    characters: int
    tokens: int
    beyond: Beyond
    texts: int
    texts_limited: bool
    noise: float
    batch_effect: float
    role_difference: float
    shortest: float
    longest: float
    requests: int
    sent: int

    @property
    def symmetric(self) -> bool:
        """Whether queries and documents get the same vectors."""
        return self.role_difference <= max(_SAME, 2 * self.noise)

    @property
    def depends_on_batch(self) -> bool:
        """Whether what stands beside a text changes its vector, by more than noise does."""
        return self.batch_effect > max(_SAME, 2 * self.noise)

    @property
    def probe_floor(self) -> float | None:
        """The `probe_floor` that its noise asks for; None where the usual one will do."""
        floor = 1 - NOISE_MARGIN * max(self.noise, self.batch_effect)
        return None if floor >= self.floor else round(floor - 0.00005, 4)

    def profile(self, name: str) -> str:
        """The table `[embedder.NAME]`: what was given, with the measured limits.

        Raises:
            EmbedderSpecError: It is not a service, or its noise is more than a model could be known by.
        """
        model, arguments = arguments_of(self.spec)
        if not self.texts:
            raise EmbedderSpecError(f"{self.spec} is not a service", hint="a profile describes a service")
        arguments = {"base_url": str(open_embedder(self.spec).contract["base_url"])} | arguments  # OpenAI's is implied
        if self.texts_limited or "batch_size" not in arguments:
            arguments["batch_size"] = str(min(self.texts, int(arguments.get("batch_size", 128))))
        if self.beyond == "refused" and "too_long" not in arguments:
            arguments |= {"max_characters": arguments.get("max_characters", str(self.characters)), "too_long": "cut"}
        if self.probe_floor is not None:
            if self.probe_floor < LEAST_FLOOR:
                raise EmbedderSpecError(
                    f"two answers of {model} differ by up to {max(self.noise, self.batch_effect):.4f}: "
                    "it cannot be told from another model",
                    hint="several replicas with different models, or one that is broken: ask the provider",
                )
            arguments["probe_floor"] = str(self.probe_floor)
        return table_of(name, model, arguments)


class _Subject:
    """What is tried. Counts what it is asked."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.requests = self.sent = 0
        # A service without the limits that were given for it, and with its vectors as they come.
        self._bare: Callable[[int], Embedder] | None = getattr(embedder, "without_limits", None)
        self._single = self._bare(1) if self._bare else embedder

    @property
    def remote(self) -> bool:
        return self._bare is not None

    def alone(self, texts: list[str], *, query: bool = False) -> FloatArray:
        """Each text in a request of its own."""
        embed = self._single.embed_queries if query else self._single.embed_documents
        return np.concatenate([self._counted(embed, [text]) for text in texts])

    def together(self, texts: list[str]) -> FloatArray:
        """All texts in one request."""
        embedder = self._bare(len(texts)) if self._bare else self.embedder
        return self._counted(embedder.embed_documents, texts)

    def _counted(self, embed: Callable[[list[str]], FloatArray], texts: list[str]) -> FloatArray:
        self.requests += 1
        self.sent += sum(map(len, texts))
        return embed(texts)


def try_embedder(spec: str, *, longest: int = 65_536, most_texts: int = 2_048) -> Trial:
    """Measure an embedder: limits, noise, roles and lengths. Every request of it costs what requests cost.

    Args:
        spec: Any embedder string.
        longest: Characters of the longest text that is tried.
        most_texts: Texts in the largest request that is tried, of a service.

    Returns:
        What was measured.

    Raises:
        EmbedderSpecError: The string names nothing.
        EmbeddingError: The embedder does not work at all.

    Example:
        >>> trial = try_embedder("hash:64?seed=1", longest=4096)
        >>> trial.beyond, trial.symmetric, trial.noise < 1e-6
        ('read', True, True)
    """
    spec = expand(spec)
    embedder = open_embedder(spec)
    subject = _Subject(embedder)
    sample = list(_SAMPLE)
    documents = subject.alone(sample)
    noise = max(_apart(documents, subject.alone(sample)) for _ in range(_CALLS - 1))
    beside = [text for text in sample for text in (text, _prose(8 * len(text), 1))]
    characters, beyond = _reading(subject, longest, noise)
    texts, limited = _texts_of_a_request(subject, most_texts) if subject.remote else (0, False)
    lengths = np.linalg.norm(documents, axis=1)
    return Trial(
        spec=spec,
        floor=traits_of(embedder).probe_floor,
        dimension=int(documents.shape[1]),
        characters=characters,
        tokens=embedder.count_tokens([_prose(characters, 0)]),
        beyond=beyond,
        texts=texts,
        texts_limited=limited,
        noise=noise,
        batch_effect=_apart(documents, _every_second(subject, beside)),
        role_difference=_apart(documents, subject.alone(sample, query=True)),
        shortest=float(lengths.min()),
        longest=float(lengths.max()),
        requests=subject.requests,
        sent=subject.sent,
    )


def _every_second(subject: _Subject, texts: list[str]) -> FloatArray:
    try:
        return subject.together(texts)[::2]
    except TextRefusedError:  # it takes fewer: then beside one other at a time
        return np.concatenate([subject.together(texts[i : i + 2])[:1] for i in range(0, len(texts), 2)])


def _apart(one: FloatArray, other: FloatArray) -> float:
    """1 - cosine of the two vectors that differ most."""
    return max(0.0, float(1 - np.nan_to_num(cosines(one, other), nan=0.0).min()))


# -- how much of a text is read ---------------------------------------------------------------------------------------


def _reading(subject: _Subject, longest: int, noise: float) -> tuple[int, Beyond]:
    """Characters that are read of one text, and what happens to the rest."""

    def beyond(size: int) -> Beyond:
        """What happens to what follows after so many characters: two texts differ only there."""
        try:
            one, other = (subject.alone([_prose(size, 0) + _prose(size, kind)]) for kind in (1, 2))
        except TextRefusedError:
            return "refused"
        return "cut" if _apart(one, other) <= max(_SAME, 2 * noise) else "read"

    size = _SHORTEST
    while (fate := beyond(size)) == "read" and 4 * size <= longest:
        size *= 2
    if fate == "read":
        return 2 * size, "read"
    low, high = (size, 2 * size) if fate == "refused" else (size // 2, size)

    def fits(count: int) -> bool:
        # What is refused is the text as a whole, what is cut is what stands behind the limit.
        return _is_taken(subject, count) if fate == "refused" else beyond(count) == "read"

    if not fits(low):
        low, high = 1, low
    while high - low > max(1, _PRECISION * low):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, fate


def _is_taken(subject: _Subject, size: int) -> bool:
    try:
        subject.alone([_prose(size, 0)])
    except TextRefusedError:
        return False
    return True


def _prose(size: int, kind: int) -> str:
    """So many characters of English sentences; those of another kind share none of them."""
    sentences = [text for text in PROBES if text.isascii() and text.count(" ") > 3][kind::3]
    text = " ".join(sentences) + " "
    return (text * (size // len(text) + 1))[:size]


# -- how many texts a request takes ------------------------------------------------------------------------------------


def _texts_of_a_request(subject: _Subject, most: int) -> tuple[int, bool]:
    """Texts that one request takes, and whether more were refused."""

    def taken(count: int) -> bool:
        try:
            subject.together([f"text {i}" for i in range(count)])
        except EmbeddingError:
            return False
        return True

    low = 1
    while low < most and taken(min(2 * low, most)):
        low = min(2 * low, most)
    if low == most:
        return most, False
    high = min(2 * low, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if taken(middle) else (low, middle)
    return low, True
