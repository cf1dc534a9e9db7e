"""Embedders: a model with everything that shapes its vectors, opened from one string.

    sentence-transformers/all-MiniLM-L6-v2?max_length=256    a hub name
    /models/all-MiniLM-L6-v2?query_prompt=query%3A+          a directory of sentence-transformers
    openai:text-embedding-3-small?dimensions=512             an OpenAI-compatible service (`base_url=`)
    service:embed-v4.0?protocol=cohere&base_url=...          any other service
    profile:NAME                                             a table [embedder.NAME] of vecrollback.toml
    hash:384?seed=1                                          no model at all: hashed words
    langchain:PROVIDER:MODEL, llama-index:..., haystack:...  an embedder of these frameworks
    package.module:callable                                  your own code

Further `NAME:` kinds come from installed packages: an entry point of the group `vecrollback.embedders` whose value is
a function that takes a `vecrollback.embedders.spec.Spec` and returns an Embedder.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

from vecrollback.embedders.base import Embedder, Traits, fingerprint_of, traits_of
from vecrollback.embedders.spec import CALLABLE, SENTENCE_TRANSFORMERS, Spec, moved, parse
from vecrollback.errors import EmbedderSpecError
from vecrollback.storage.installed import entry_points_of

__all__ = ["Embedder", "Traits", "fingerprint_of", "moved", "open_embedder", "require_allowed", "traits_of"]

Opener = Callable[[Spec], Embedder]

_GROUP = "vecrollback.embedders"
_PREFIXED = {
    "hash": "hashing:open_hashing",
    "openai": "openai:open_openai",
    "service": "openai:open_service",
    "langchain": "frameworks:open_langchain",
    "llama-index": "frameworks:open_llama_index",
    "haystack": "frameworks:open_haystack",
}
_PROFILE = "profile"
_UNPREFIXED = {
    SENTENCE_TRANSFORMERS: "sentence_transformers:open_sentence_transformers",
    CALLABLE: "callables:open_callable",
}


def open_embedder(spec: str, *, store: Path | None = None, stored: bool = False) -> Embedder:
    """Open the embedder that a string names.

    Cheap: reads names and digests of files and loads no model; a hub name that is not in the local cache is downloaded.

    Args:
        spec: One of the forms above.
        store: Where `profile:NAME` is looked up beside the working directory; the store of the settings by default.
        stored: The string comes from a store or a request, not from the operator: see `embedders.allowing`.

    Returns:
        An embedder whose `spec` opens it again, also in another process.

    Raises:
        EmbedderSpecError: The string names nothing, or an argument is not valid.
        MissingDependencyError: The package of its kind is not installed.
        UntrustedError: With `stored`, it names an address or code that nobody has allowed.

    Example:
        >>> embedder = open_embedder("hash:64?seed=1&chunk=tokens:4:0")
        >>> embedder.dimension, embedder.metric, embedder.chunk("ships leave at dawn, slowly")
        (64, 'cosine', [Span(start=0, end=19), Span(start=19, end=27)])
    """
    prefix = _prefix(spec)
    if prefix == _PROFILE:
        spec = importlib.import_module(f"{__name__}.service_profile").expand(spec, store)
    if stored:
        require_allowed(spec, store=store)
    others = {} if _prefix(spec) in _PREFIXED else entry_points_of(_GROUP)
    parts = parse(spec, {*_PREFIXED, *others})
    built_in = _PREFIXED.get(parts.kind) or _UNPREFIXED.get(parts.kind)
    return _built_in(built_in)(parts) if built_in else _third_party(others[parts.kind])(parts)


def require_allowed(spec: str, *, store: Path | None = None) -> None:
    """Raise UntrustedError where a string from elsewhere names an address or code that nobody has allowed here."""
    others = {} if _prefix(spec) in _PREFIXED else entry_points_of(_GROUP)
    try:
        parts = parse(spec, {*_PREFIXED, *others})
    except EmbedderSpecError:
        return  # it opens nothing here, a folder of another machine for example: whoever tries says so
    importlib.import_module(f"{__name__}.allowing").require_allowed(parts, store)


def _prefix(spec: str) -> str:
    return spec.partition("?")[0].partition(":")[0]


def _built_in(place: str) -> Opener:
    # By name and not through the entry points, so that a source tree that was never installed works too.
    module, _, function = place.partition(":")
    return cast(Opener, getattr(importlib.import_module(f"{__name__}.{module}"), function))


def _third_party(point: EntryPoint) -> Opener:
    try:
        return cast(Opener, point.load())
    except (ImportError, AttributeError) as error:
        raise EmbedderSpecError(
            f"the embedder kind {point.name!r} ({point.value}) cannot be loaded: {error}",
            hint="repair or uninstall the package that provides it",
        ) from error
