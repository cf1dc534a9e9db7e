"""The model of a guarded collection: an embedder of vecrollback, or the object with which an application embeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np

from vecrollback.embedders import Embedder, Traits, fingerprint_of, open_embedder, traits_of
from vecrollback.errors import TextRefusedError, UsageError
from vecrollback.records import Json, Metric, Span
from vecrollback.records.arrays import FloatArray

_NAMES = ("model_name", "model", "model_id", "model_path", "deployment", "dimensions", "query_instruction")
"""Attributes by which objects of frameworks say what they embed with."""

_FORMS = "an embedder string, an Embedder, a function of texts, or an embedding object of LangChain, LlamaIndex, Chroma"

Side = Callable[[list[str]], Any]


class ForeignModel:
    """An application's own embedding object as an embedder. Its name is a guess; its probes are what proves it."""

    metric: Metric = "cosine"

    def __init__(self, subject: Any, documents: Side, queries: Side) -> None:
        self._documents, self._queries = documents, queries
        kind = type(subject)
        self.spec = f"{kind.__module__}.{kind.__qualname__}"
        said = {name: getattr(subject, name, None) for name in _NAMES}
        named = {name: value for name, value in said.items() if isinstance(value, str | int)}
        self.contract: dict[str, Json] = {"kind": "object", "class": self.spec, **named}
        self.traits: Traits = traits_of(subject) if kind.__module__ != "builtins" else Traits()

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.contract)

    @cached_property
    def dimension(self) -> int:
        return int(self.embed_documents(["dimension"]).shape[1])

    def chunk(self, text: str) -> list[Span]:
        return [Span(0, len(text))] if text.strip() else []

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        return self._call(self._documents, list(texts))

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        return self._call(self._queries, list(texts))

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(len(text.split()) for text in texts)

    def close(self) -> None:
        """The object is the application's."""

    def _call(self, side: Side, texts: list[str]) -> FloatArray:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        try:
            return np.array(side(texts), np.float32).reshape(len(texts), -1)
        except Exception as error:  # whatever the application's object raises
            raise TextRefusedError(
                f"{self.spec} failed on {len(texts)} texts: {type(error).__name__}: {error}",
                hint="call it by hand on one text",
            ) from error


def model_of(subject: Any) -> Embedder:
    """What embeds, as an embedder.

    Args:
        subject: One of an embedder string, an Embedder, a plain function of texts, an object of LangChain's shape
            (`embed_documents`, `embed_query`), of LlamaIndex's (`get_text_embedding_batch`, `get_query_embedding`),
            of Chroma's (callable, perhaps with `embed_query`), or of Haystack: a document embedder, or a pair of a
            document embedder and a text embedder.

    Raises:
        UsageError: It is none of them.
    """
    if isinstance(subject, str):
        return open_embedder(subject)
    if hasattr(subject, "fingerprint") and hasattr(subject, "embed_queries"):
        return cast(Embedder, subject)
    if hasattr(subject, "get_text_embedding_batch"):
        ask = subject.get_query_embedding
        return ForeignModel(subject, subject.get_text_embedding_batch, lambda texts: [ask(one) for one in texts])
    if hasattr(subject, "embed_documents") and hasattr(subject, "embed_query"):
        query = subject.embed_query
        return ForeignModel(subject, subject.embed_documents, lambda texts: [query(one) for one in texts])
    if isinstance(subject, tuple) or hasattr(subject, "run"):
        return _of_haystack(*(subject if isinstance(subject, tuple) else (subject,)))
    if callable(subject):
        return ForeignModel(subject, subject, getattr(subject, "embed_query", subject))
    raise UsageError(f"a {type(subject).__name__} does not embed", hint=f"give {_FORMS}")


def _of_haystack(documents: Any, texts: Any = None) -> Embedder:
    from haystack import Document

    def of_documents(batch: list[str]) -> list[Any]:
        return [
            one.embedding for one in documents.run(documents=[Document(content=text) for text in batch])["documents"]
        ]

    def of_queries(batch: list[str]) -> list[Any]:
        return [texts.run(text=text)["embedding"] for text in batch]

    return ForeignModel(documents, of_documents, of_documents if texts is None else of_queries)
