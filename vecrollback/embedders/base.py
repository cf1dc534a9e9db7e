"""What an embedder is to the rest of the product: a contract, a fingerprint of it, what it says of itself, vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vecrollback.errors import EmbedderSpecError
from vecrollback.records import Json, Metric, Span
from vecrollback.records.arrays import FloatArray

FLOOR = 0.9999
"""Least cosine between a model's probe vectors then and now. What was measured: `vecrollback.embedders.probes`."""
COARSE_FLOOR = 0.9995
"""For models whose own rounding depends on the batch; still above every quantised copy that was measured."""

LEAST_FLOOR = 0.99
"""Below it another model passes for this one: a quantised copy of MiniLM stays above 0.996 on every probe."""

_FOR_QUERIES = ("query_prompt", "query")
"""Keys of a contract that shape the vectors of queries alone: the text before them, and fields of a service."""

_PRICE_WORDS = ("price", "cost", "spend", "spent", "budget", "billing")
_REMOTE_WORDS = ("remote", "base_url", "api_base", "api_key", "endpoint")


@dataclass(frozen=True, slots=True)
class Traits:
    """What an embedder says about how it may be used. Nothing of it shapes a vector, so no fingerprint holds it.

    The rest of the product decides by these and never by the kind of an embedder.

    Attributes:
        remote: The model runs behind a service. Its provider may change it under the same name.
        priced: Calls cost money.
        price: Dollars per million tokens, where that is known.
        tokens_estimated: `count_tokens` estimates before the texts were embedded.
        probe_floor: Least cosine, from 0 to 1, at which a model of this kind is still itself: `FLOOR`, or lower where
            its arithmetic is coarse.
        light: A text takes no time worth mentioning, because no model is behind it: it is embedded wherever it is
            needed, and nobody has to wait for that.

    Example:
        >>> Traits(remote=True, priced=True, price=0.02).metered
        True
        >>> Traits().metered
        False
    """

    remote: bool = False
    priced: bool = False
    price: float | None = None
    tokens_estimated: bool = False
    probe_floor: float = FLOOR
    light: bool = False

    @property
    def metered(self) -> bool:
        """Whether one object has to count the calls: it is never timed unasked, nor called from several processes.

        A limit on money or on requests holds only where one object does the counting.
        """
        return self.remote or self.priced


class Embedder(Protocol):
    """A model with everything that shapes its vectors.

    Making one is cheap: it reads names and digests. The model itself is loaded by the first call that needs it.
    Methods may be called from several threads. `vecrollback.testing.EmbedderConformance` tests all that is said here.

    Example:
        >>> from vecrollback.embedders import open_embedder
        >>> embedder = open_embedder("hash:64?seed=1")
        >>> embedder.embed_documents(["ships leave at dawn", "the harbour"]).shape
        (2, 64)
    """

    @property
    def spec(self) -> str:
        """The string it was opened from, which opens it again: where the model is, not part of what it is."""
        ...

    @property
    def contract(self) -> Mapping[str, Json]:
        """Every argument that can change a vector, as JSON.

        Model, revision, weights digest, chunker, prompts, pooling, maximum length, normalisation, dimension, precision.
        """
        ...

    @property
    def fingerprint(self) -> str:
        """The digest of the contract: `fingerprint_of(contract)`, 32 hex digits."""
        ...

    @property
    def traits(self) -> Traits:
        """How it may be used. Of an object that does not say, `traits_of` assumes the careful answer."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def metric(self) -> Metric:
        """How its vectors are compared: "cosine", "dot" or "l2"."""
        ...

    def chunk(self, text: str) -> list[Span]:
        """Split a document into the chunks that get one vector each.

        Args:
            text: A whole document.

        Returns:
            Character offsets (start, end) with 0 <= start < end <= len(text); the same for the same text. A blank text
            has none, any other at least one.
        """
        ...

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        """Embed chunks.

        Args:
            texts: Any number of chunks, none included. What stands beside a text must not change its vector.

        Returns:
            A new float32 array, shape (len(texts), dimension), finite, of unit length when `metric` is "cosine".

        Raises:
            EmbeddingError: The model or its service gave no usable vectors.
            StoppedError: A limit on money is reached.
        """
        ...

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        """Embed queries: `embed_documents` with the prompt for queries, where the model has one."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Count the tokens that the model reads for these chunks, in all. It must not call a priced service.

        Args:
            texts: Chunks, as `embed_documents` gets them.

        Returns:
            Tokens, 0 for no texts; an estimate where `traits.tokens_estimated` says so.
        """
        ...

    def close(self) -> None:
        """Let go of the model. Idempotent; the next call that needs the model loads it again."""
        ...


def fingerprint_of(contract: Mapping[str, Json]) -> str:
    """Digest a contract.

    Args:
        contract: What shapes the vectors, as JSON. The order of its keys does not matter.

    Returns:
        32 hex digits that change when anything in the contract does.

    Example:
        >>> fingerprint_of({"model": "a", "dimension": 2}) == fingerprint_of({"dimension": 2, "model": "a"})
        True
    """
    canonical = json.dumps(contract, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def document_fingerprint(contract: Mapping[str, Json]) -> str:
    """Digest what of a contract shapes the vectors of documents.

    Args:
        contract: A whole contract.

    Returns:
        32 hex digits: the same for two contracts that differ only in what is done with queries.

    Example:
        >>> one, other = {"model": "a", "query_prompt": ""}, {"model": "a", "query_prompt": "find: "}
        >>> document_fingerprint(one) == document_fingerprint(other), fingerprint_of(one) == fingerprint_of(other)
        (True, False)
    """
    return fingerprint_of({name: value for name, value in contract.items() if name not in _FOR_QUERIES})


def count_cut(embedder: object, texts: Sequence[str]) -> int:
    """Count the chunks of which the model reads no more than the beginning.

    Args:
        embedder: An Embedder; one that knows its limit has a method of this name.
        texts: Chunks, as `embed_documents` gets them.

    Returns:
        How many are longer than the model reads, as far as the embedder knows: 0 where it knows no limit.

    Example:
        >>> from vecrollback.embedders import open_embedder
        >>> service = open_embedder("service:m?base_url=http://host/v1&max_characters=16")
        >>> count_cut(service, ["Ships leave at dawn.", "Ships"])
        1
    """
    count = getattr(embedder, "count_cut", None)
    return int(count(texts)) if count else 0


def traits_of(embedder: object) -> Traits:
    """What an embedder says of itself, or what is assumed of one that says nothing.

    An object without `traits` is assumed to be remote and priced when a public attribute or a key of its contract
    speaks of a price or of a service (`price`, `cost`, `spent`, `remote`, `base_url`, `endpoint`, ...), or a value of
    its contract is an http address: a wrong guess that way costs time, the other way it costs money. Any other is
    taken for a local model. Its token counts are estimates either way, since nobody said that they are exact.

    Args:
        embedder: An Embedder, or an object that was one before `traits` existed.

    Returns:
        Its traits.

    Raises:
        EmbedderSpecError: `traits` is something else than a Traits.

    Example:
        >>> class Service:
        ...     contract, price = {"kind": "elsewhere"}, 0.06
        >>> traits_of(Service()).metered
        True
    """
    traits = getattr(embedder, "traits", None)
    if traits is None:
        return _assumed(embedder)
    if not isinstance(traits, Traits):
        raise EmbedderSpecError(
            f"the traits of {type(embedder).__name__} are a {type(traits).__name__}",
            hint="return a vecrollback.embedders.Traits",
        )
    return traits


def _assumed(embedder: object) -> Traits:
    contract: Mapping[str, Json] = getattr(embedder, "contract", {})
    # Names and not values: reading a property may be a call to the service.
    names = {name.lower() for name in (*dir(embedder), *contract) if not name.startswith("_")}
    if getattr(embedder, "remote", None) is False:
        names.discard("remote")
    addressed = any(str(value).startswith(("http://", "https://")) for value in contract.values())
    metered = addressed or any(word in name for name in names for word in _PRICE_WORDS + _REMOTE_WORDS)
    price = getattr(embedder, "price", None) if "price" in names else None
    return Traits(
        remote=metered,
        priced=metered,
        price=float(price) if isinstance(price, int | float) else None,
        tokens_estimated=True,
        probe_floor=COARSE_FLOOR if metered or contract.get("precision") == "bfloat16" else FLOOR,
    )
