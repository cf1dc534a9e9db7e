"""The live pair's model as embeddings of LangChain, and a cache that knows which model made what it holds."""

from __future__ import annotations

import hashlib

import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.stores import BaseStore

from vecrollback.integrations.backend import Backend
from vecrollback.integrations.vectors import PairVector, as_lists, embed_documents
from vecrollback.records import PairVectors


class PairEmbeddings(Embeddings):
    """Embeds with the model of the pair that is live at that moment, whichever it is.

    Each vector is a list that also says in `fingerprint`, `pair` and `epoch` whose it is, so a search by it is refused
    once another model serves. Do not keep such vectors in another vector store: nothing there would refuse them.

    Args:
        store_or_client: An open `Store` or `Client`.
        cache: Keeps the vectors of documents, such as LangChain's `LocalFileStore`. Its keys hold the fingerprint and
            the text's digest, so a change of model never answers with vectors of the one before.

    Example:
        >>> embeddings = PairEmbeddings(store)
        >>> vector = embeddings.embed_query("green tea")
        >>> len(vector), vector.pair
        (64, 'v2')
    """

    def __init__(self, store_or_client: Backend, *, cache: BaseStore[str, bytes] | None = None) -> None:
        self.backend, self._cache = store_or_client, cache

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.backend!r})"

    def embed_query(self, text: str) -> PairVector:
        """The vector of a query."""
        [vector] = as_lists(self.backend.embed_queries([text]))
        return vector

    def embed_documents(self, texts: list[str]) -> list[PairVector]:  # type: ignore[override]
        """A vector for each text, embedded as documents. All of them are of one model."""
        if self._cache is None:
            return as_lists(embed_documents(self.backend, texts), texts)
        return self._cached(texts, self._cache)

    def _cached(self, texts: list[str], cache: BaseStore[str, bytes]) -> list[PairVector]:
        now = self.backend.embed_documents([])  # whose vectors would be made at this moment

        def key_of(text: str) -> str:
            return f"{now.fingerprint}-{hashlib.sha256(text.encode()).hexdigest()}"

        keys = [key_of(text) for text in texts]
        kept = dict(zip(keys, cache.mget(keys), strict=True))
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if kept[key] is None}.values())
        if missing:
            made = embed_documents(self.backend, missing)
            if made.fingerprint != now.fingerprint:
                return self._cached(texts, cache)  # somebody moved `live` in between: all texts anew, of one model
            fresh = {key_of(text): v.astype("<f4").tobytes() for text, v in zip(missing, made.vectors, strict=True)}
            cache.mset(list(fresh.items()))
            kept |= fresh
        vectors = np.stack([np.frombuffer(kept[key] or b"", dtype="<f4") for key in keys]) if keys else now.vectors
        return as_lists(PairVectors(vectors, now.fingerprint, now.pair, now.epoch), texts)
