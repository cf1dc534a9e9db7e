"""`package.module:callable`: an embedder in the user's own code.

What the name leads to is an Embedder, an object of LangChain's or Chroma's shape, a function without arguments that
returns one of these, or a plain function `texts -> array (n, dimension)`. All but the first take the common arguments
(`chunk`, `normalize`, `metric`, prompts), and their contract names the module, the object, the version of the installed
distribution and a digest of the source file. What calls a service says so: `function.traits = Traits(remote=True)`.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from vecrollback.embedders.base import Embedder, Traits, traits_of
from vecrollback.embedders.common import Role, Shape, SharedEmbedder, prefixed, read_shape
from vecrollback.embedders.spec import Spec
from vecrollback.errors import EmbedderSpecError, EmbeddingError, TextRefusedError
from vecrollback.records import Json
from vecrollback.records.arrays import FloatArray
from vecrollback.storage.installed import distribution_of

_ROLES: dict[Role, str] = {"document": "texts", "query": "queries"}
_MEMBERS = ("contract", "fingerprint", "dimension", "metric", "embed_documents", "embed_queries", "chunk", "spec")


def open_callable(spec: Spec) -> Embedder:
    """Open `package.module:callable`."""
    subject = _import(spec.target)
    if not _is_embedder(subject) and _queries_of(subject) is None:
        if not callable(subject):
            raise EmbedderSpecError(
                f"{spec.target} is a {type(subject).__name__}, neither an embedder nor a function",
                hint="name a function that takes a list of texts and returns an array of one row each",
            )
        if not _takes_arguments(subject):
            subject = subject()
            if _queries_of(subject) is None:
                return _own_embedder(subject, spec)
    if _is_embedder(subject):
        return _own_embedder(subject, spec)
    shape = read_shape(spec.arguments)
    spec.arguments.refuse_unknown("callable")
    return CallableEmbedder(spec, shape, subject)


class CallableEmbedder(SharedEmbedder):
    """A plain function `texts -> array` as an embedder, or an object with a side for documents and one for queries."""

    def __init__(self, spec: Spec, shape: Shape, function: Any) -> None:
        super().__init__(spec, shape)
        self._function = function
        queries = _queries_of(function)
        documents = getattr(function, "embed_documents", function) if queries else function
        self._sides: dict[Role, Callable[[list[str]], Any]] = {"document": documents, "query": queries or documents}

    @property
    def traits(self) -> Traits:
        """What the function says in an attribute `traits`; a function that says nothing is taken for a local model."""
        return traits_of(self._function)

    @cached_property
    def dimension(self) -> int:
        return int(self._call(["dimension"], "document").shape[1])

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Words, because a function does not say how it splits a text into tokens."""
        return sum(len(text.split()) for text in texts)

    def _identity(self) -> dict[str, Json]:
        module, _, name = self._spec.target.partition(":")
        return {
            "module": module,
            "qualname": name,
            "distribution": distribution_of(module),
            "source": _source_digest(sys.modules[module] if _queries_of(self._function) else self._function),
        }

    def _vectors(self, texts: Sequence[str], role: Role) -> FloatArray:
        return self._call(prefixed(texts, self._shape.prompt(role)), role)

    def _call(self, texts: list[str], role: Role) -> FloatArray:
        try:
            # A copy, for the array is scaled in place later and may be the function's own cache.
            vectors = np.array(self._sides[role](texts), dtype=np.float32)
        except Exception as error:
            raise TextRefusedError(  # one of them may be too long, or not what the function expects
                f"{self._spec.target} failed on {len(texts)} texts as {_ROLES[role]}: {type(error).__name__}: {error}",
                hint="call it by hand on one text; it must take a list of texts and return numbers",
            ) from error
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise EmbeddingError(
                f"{self._spec.target} returned an array of shape {vectors.shape} for {len(texts)} {_ROLES[role]}",
                hint="return one row per text: shape (number of texts, dimension)",
            )
        return vectors


def _import(target: str) -> Any:
    module_name, _, path = target.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
        for name in path.split("."):
            value = getattr(value, name)
    except (ImportError, AttributeError) as error:
        raise EmbedderSpecError(
            f"cannot import {target}: {error}",
            hint="install the package, or put its directory on PYTHONPATH; kinds are written hash: or openai:",
        ) from error
    return value


def _is_embedder(subject: Any) -> bool:
    return not inspect.isclass(subject) and all(hasattr(subject, member) for member in _MEMBERS)


def _queries_of(subject: Any) -> Callable[[list[str]], Any] | None:
    """How an object of LangChain's or Chroma's shape embeds queries; None for anything else."""
    query = None if inspect.isclass(subject) or inspect.isroutine(subject) else getattr(subject, "embed_query", None)
    if not callable(query):
        return None
    if callable(getattr(subject, "embed_documents", None)):  # LangChain's: one query at a time
        return lambda texts: [query(text) for text in texts]
    return query if callable(subject) else None


def _takes_arguments(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions have no signature
        return True
    return any(p.default is p.empty for p in parameters)


def _own_embedder(embedder: Any, spec: Spec) -> Embedder:
    """Check that the user's embedder can be opened again from the string that a pair will keep."""
    spec.arguments.refuse_unknown("callable")
    if not _is_embedder(embedder):
        raise EmbedderSpecError(
            f"{spec.target} gave a {type(embedder).__name__}, which is not an embedder",
            hint=f"an embedder has {', '.join(_MEMBERS)}",
        )
    if embedder.spec != spec.text:
        raise EmbedderSpecError(
            f"{spec.target} has the spec {embedder.spec!r}",
            hint=f"its `spec` must be {spec.text!r}, which opens it again",
        )
    return cast(Embedder, embedder)


def _source_digest(function: Any) -> str | None:
    subject = inspect.unwrap(function)
    if not (inspect.isroutine(subject) or inspect.isclass(subject) or inspect.ismodule(subject)):
        subject = type(subject)
    try:
        source = inspect.getsourcefile(subject)
    except TypeError:  # built in, or compiled
        return None
    return hashlib.sha256(Path(source).read_bytes()).hexdigest() if source and Path(source).is_file() else None
