"""Vector stores of frameworks: what they keep, what they embed with, and how they are watched."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from vecrollback.embedders import Embedder
from vecrollback.embedders.stamp import Stamp
from vecrollback.errors import RefusedError, UsageError
from vecrollback.guard.places import DrawnRows

Drift = Callable[[RefusedError], None]


class FrameworkStore(Protocol):
    """A store of one framework.

    Attributes:
        collection: What it keeps its rows in, as `open_place` takes it; None where it shows nothing of the kind.
        embedding: What it embeds with; None where that is done elsewhere.
    """

    collection: Any
    embedding: Any

    def sample(self, size: int, chance: np.random.Generator) -> DrawnRows | None:
        """Some rows, of a store that keeps them in memory or has a way of its own; None to ask the collection."""
        ...

    def watch(self, stamp: Stamp, model: Embedder, drift: Drift, template: str | None) -> None:
        """Let the store's own calls be compared from now on, those that are awaited too.

        A store that is watched already gets the new watch. `template`: what is embedded of a row.
        """
        ...


def framework_of(subject: Any) -> FrameworkStore | None:
    """The store of a framework that this is; None for anything else."""
    modules = {kind.__module__.partition(".")[0] for kind in type(subject).__mro__}
    name = ""
    if "langchain_core" in modules and hasattr(subject, "similarity_search"):
        name = "langchain:LangchainStore"
    elif "llama_index" in modules and hasattr(subject, "stores_text"):
        name = "llama_index:LlamaIndexStore"
    elif hasattr(subject, "write_documents") and hasattr(subject, "filter_documents"):
        name = "haystack:HaystackStore"
    if not name:
        return None
    module, _, kind = name.partition(":")
    store: FrameworkStore = getattr(importlib.import_module(f"vecrollback.guard.{module}"), kind)(subject)
    return store


def collection_in(subject: Any) -> Any:
    """The collection of a database that a store of a framework holds, by the names that their authors use.

    With it, which vectors the store uses: a row may have several.
    """
    for name in ("_collection", "_chroma_collection", "_table"):
        value = getattr(subject, name, None)
        if type(value).__module__.startswith("chromadb"):
            return value
        if type(value).__module__.startswith("lancedb"):
            return value, _vector_of(subject, "_vector_key", "vector_column_name")
    client = getattr(subject, "client", None) or getattr(subject, "_client", None)
    collection = getattr(subject, "collection_name", None) or getattr(subject, "index", None)
    if type(client).__module__.startswith("qdrant_client") and isinstance(collection, str):
        # Haystack names the vectors only where sparse ones stand beside them.
        usual = "text-dense" if getattr(subject, "use_sparse_embeddings", False) else ""
        return client, collection, _vector_of(subject, "vector_name", "dense_vector_name") or usual
    return None


def _vector_of(subject: Any, *attributes: str) -> str:
    """Which vectors of its collection a store uses; "" where it does not say."""
    names = (getattr(subject, attribute, None) for attribute in attributes)
    return next((name for name in names if isinstance(name, str)), "")


def need_collection(subject: Any, collection: Any) -> Any:
    """The collection, or a UsageError that says how to name it."""
    if collection is None:
        raise UsageError(
            f"a {type(subject).__name__} does not show where its rows are kept",
            hint="say it: guard(store, embedder, at='chroma:PATH#collection'), or at='stamp.json' for rows in memory",
        )
    return collection
