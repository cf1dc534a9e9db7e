"""LangChain over a store or a client. Needs the extra `langchain`.

Texts are embedded by the live pair's model, queries too, at the moment they are asked: a rollback takes both back at
once, and no chain has to be built anew.
"""

from __future__ import annotations

from importlib.util import find_spec

from vecrollback.errors import MissingDependencyError

if find_spec("langchain_core") is None:
    raise MissingDependencyError("langchain-core", "langchain")

from vecrollback.integrations.langchain.document_index import VecrollbackDocumentIndex
from vecrollback.integrations.langchain.embeddings import PairEmbeddings
from vecrollback.integrations.langchain.retriever import VecrollbackRetriever
from vecrollback.integrations.langchain.vector_store import VecrollbackVectorStore

__all__ = ["PairEmbeddings", "VecrollbackDocumentIndex", "VecrollbackRetriever", "VecrollbackVectorStore"]
