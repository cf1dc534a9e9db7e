"""Haystack over a store or a client. Needs the extra `haystack`.

Documents are embedded by the pairs of the store, queries by the live pair's model: no embedder stands in a pipeline
unless it wants the vectors, and a rollback takes model and index back at once.
"""

from __future__ import annotations

from importlib.util import find_spec

from vecrollback.errors import MissingDependencyError

if find_spec("haystack") is None:
    raise MissingDependencyError("haystack-ai", "haystack")

from vecrollback.integrations.haystack.document_store import VecrollbackDocumentStore
from vecrollback.integrations.haystack.embedders import PairDocumentEmbedder, PairTextEmbedder
from vecrollback.integrations.haystack.retriever import VecrollbackRetriever

__all__ = ["PairDocumentEmbedder", "PairTextEmbedder", "VecrollbackDocumentStore", "VecrollbackRetriever"]
