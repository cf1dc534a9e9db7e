"""LlamaIndex over a store or a client. Needs the extra `llama-index`.

Nodes are embedded by the pairs of the store, queries by the live pair's model, at the moment they are asked: a rollback
takes both back at once, and no index has to be built anew.
"""

from __future__ import annotations

from importlib.util import find_spec

from vecrollback.errors import MissingDependencyError

if find_spec("llama_index") is None:
    raise MissingDependencyError("llama-index-core", "llama-index")

from vecrollback.integrations.llama_index.embedding import PairEmbedding
from vecrollback.integrations.llama_index.index import VecrollbackIndex
from vecrollback.integrations.llama_index.vector_store import VecrollbackVectorStore

__all__ = ["PairEmbedding", "VecrollbackIndex", "VecrollbackVectorStore"]
