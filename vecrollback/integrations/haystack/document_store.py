"""Haystack's document store over a store or a client."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from haystack import default_from_dict, default_to_dict
from haystack.dataclasses import Document as HaystackDocument
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret

from vecrollback.errors import DocumentExistsError
from vecrollback.integrations.backend import Backend, Target, clear, open_target, remove
from vecrollback.integrations.haystack.conversion import from_hit, from_store, to_store
from vecrollback.integrations.haystack.matching import (
    count_matching,
    filter_errors,
    matching_documents,
    where_to_delete,
    where_to_search,
)
from vecrollback.integrations.vectors import of_one_origin, with_origin
from vecrollback.integrations.writing import write, write_embedded
from vecrollback.records import Document, IfAbsent, Json, SearchMode


class VecrollbackDocumentStore:
    """A `DocumentStore` whose documents are embedded by the pairs of a store, and searched by the live one.

    Documents need no embedding. Those that `PairDocumentEmbedder` gave them are taken over; any other is not kept: a
    vector whose model nobody knows belongs into no index. What was written is found by the time a write returns.

    Args:
        store_or_client: An open `Store` or `Client`, which stays yours to close; or where the store is, a directory,
            `s3://...` or the URL of a server. A saved pipeline holds that.
        token: The server's, where it has tokens.
        namespace: Documents of this namespace alone: ids are unique within it, and no filter leads out of it.

    Example:
        >>> from haystack import Document as Page
        >>> pages = VecrollbackDocumentStore(store)
        >>> pages.write_documents([Page(id="jam", content="Boil plums with sugar.", meta={"season": "autumn"})])
        1
        >>> [page.id for page in pages.search("plums and sugar", top_k=1)]
        ['jam']
        >>> pages.count_documents_by_filter({"field": "meta.season", "operator": "==", "value": "autumn"})
        1
    """

    def __init__(self, store_or_client: Target, *, token: Secret | None = None, namespace: str | None = None) -> None:
        self._target, self._token, self.namespace = store_or_client, token, namespace
        self._opened: Backend | None = None

    def __repr__(self) -> str:
        # An address that was given may hold a password: what is open says its own without it.
        target = self._opened if self._opened is not None else "not opened yet"
        return f"{type(self).__name__}({target!r}, namespace={self.namespace!r})"

    @property
    def backend(self) -> Backend:
        """The store or client, opened by the first who needs it."""
        if self._opened is None:
            self._opened = open_target(self._target, self._token.resolve_value() if self._token else None)
        return self._opened

    def to_dict(self) -> dict[str, Any]:
        """Where the store is, as Haystack saves it. A token is saved as the name of its environment variable."""
        target = self._target if isinstance(self._target, str) else self.backend.uri
        return default_to_dict(
            self,
            store_or_client=target,
            token=self._token.to_dict() if self._token else None,
            namespace=self.namespace,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> VecrollbackDocumentStore:
        """The store that was saved. It is opened when it is first used."""
        return default_from_dict(cls, data)

    # -- writing ------------------------------------------------------------------------------------------------------

    def write_documents(self, documents: list[HaystackDocument], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write documents, and return when queries find them.

        Args:
            documents: The documents.
            policy: `FAIL`, the default, writes none if one exists; `SKIP` writes those that do not exist; both are
                decided at the moment of the write, whoever else writes. `OVERWRITE` replaces.

        Returns:
            How many were written; with OVERWRITE how many were given.

        Raises:
            DuplicateDocumentError: With FAIL, a document exists, or an id is given twice.
            ValueError: Something else than a list of documents.
        """
        if not isinstance(documents, list) or not all(isinstance(one, HaystackDocument) for one in documents):
            raise ValueError("write_documents takes a list of documents")
        if policy == DuplicatePolicy.OVERWRITE:
            self._write({one.id: one for one in documents}.values())
            return len(documents)
        if policy == DuplicatePolicy.SKIP:  # of an id given twice the first counts
            return self._write({one.id: one for one in reversed(documents)}.values(), "skip")
        if len({one.id for one in documents}) < len(documents):
            raise DuplicateDocumentError("an id is given twice")
        try:
            return self._write(documents, "fail")
        except DocumentExistsError as error:
            raise DuplicateDocumentError(error.message) from error

    def _write(self, documents: Collection[HaystackDocument], if_absent: IfAbsent | None = None) -> int:
        converted = [to_store(one) for one in documents]
        vectors = of_one_origin([one.embedding for one in documents], converted)
        return write_embedded(self.backend, converted, vectors, self.namespace, if_absent)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents for good. Ids without a document are passed over."""
        remove(self.backend, document_ids, self.namespace)

    def delete_all_documents(self) -> None:
        """Delete every document for good."""
        clear(self.backend, self.namespace)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete what a filter matches, all at one moment.

        Args:
            filters: A filter of Haystack.

        Returns:
            How many documents that were.

        Raises:
            FilterError: The filter restricts nothing, or it cannot be answered in one moment as `filter_documents`
                answers it: it is about a key inside another, the text of a document or a list, say. Nothing was
                deleted.
        """
        with filter_errors():
            where = where_to_delete(self.backend, filters, self.namespace)
            return self.backend.delete(None, where, self.namespace).deleted

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Put keys into the metadata of what a filter matches; returns how many documents that were.

        Each document is read and written again: what somebody else writes to it in between is lost.
        """
        changed = [replace(one, metadata={**one.metadata, **meta}) for one in self._matching(filters)]
        write(self.backend, changed, self.namespace)
        return len(changed)

    # -- reading ------------------------------------------------------------------------------------------------------

    def count_documents(self) -> int:
        """How many documents there are."""
        return self.backend.count(namespace=self.namespace)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[HaystackDocument]:
        """Every document that a filter matches, by id, without score and embedding."""
        return [from_store(one) for one in self._matching(filters)]

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many documents a filter matches."""
        return count_matching(self.backend, filters, self.namespace)

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """How many different values each of these keys has among what a filter matches."""
        keys = [field.removeprefix("meta.") for field in metadata_fields]
        values: dict[str, set[object]] = {key: set() for key in keys}
        for one in self._matching(filters):
            for key in keys:
                if one.metadata.get(key) is not None:
                    values[key].add(_hashable(one.metadata[key]))
        return {key: len(different) for key, different in values.items()}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Each metadata key with its `type`: keyword, int, float or boolean."""
        types: dict[str, str] = {}
        for one in self.backend.documents(namespace=self.namespace):
            for key, value in one.metadata.items():
                if value is not None and not key.startswith("_"):
                    types[key] = _TYPES.get(type(value), "keyword")
        return {key: {"type": type_} for key, type_ in types.items()}

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The least and the greatest value of a key; None where it has none, or values that have no common order."""
        values = [value for value in self._values(metadata_field, None) if isinstance(value, int | float | str)]
        try:
            return {"min": min(values, default=None), "max": max(values, default=None)}
        except TypeError:
            return {"min": None, "max": None}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """The different values of a key.

        Args:
            metadata_field: The key, with or without `meta.`.
            search_term: Only values that hold this, in any case.
            from_: Leave out so many.
            size: At most so many.
            filters: Only of what this matches.

        Returns:
            The values, in an order that stays the same, and how many there are in all.
        """
        unique = {_hashable(value): value for value in self._values(metadata_field, filters)}
        term = (search_term or "").casefold()
        values = [value for _, value in sorted(unique.items()) if term in str(value).casefold()]
        return values[from_ : from_ + size], len(values)

    def search(
        self,
        query: str | Sequence[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        *,
        mode: SearchMode = "vector",
        scale_score: bool = False,
    ) -> list[HaystackDocument]:
        """The documents nearest to a query, as `VecrollbackRetriever` returns them.

        Args:
            query: The words to search for, or a vector that `PairTextEmbedder` gave, in mode `vector`.
            filters: A filter of Haystack.
            top_k: How many at most.
            mode: `vector`, `keyword` (the words alone, without a model) or `hybrid` (both).
            scale_score: Scores from 0 to 1, by the metric of the pair that answers, in place of its raw ones.

        Raises:
            FilterError: The filter is about a key inside another, the text of a document or a list, or about dates
                that are written in several forms.
        """
        with filter_errors():
            where = where_to_search(self.backend, filters, self.namespace)
            if isinstance(query, str):
                result = self.backend.search(query, top_k, where, self.namespace, mode)
            else:
                [result] = self.backend.search(with_origin(query), top_k, where, self.namespace, mode)
        return [from_hit(hit, result, scale_score=scale_score) for hit in result.hits]

    def _matching(self, filters: dict[str, Any] | None) -> Iterator[Document]:
        return matching_documents(self.backend, filters, self.namespace)

    def _values(self, field: str, filters: dict[str, Any] | None) -> Iterator[Json]:
        key = field.removeprefix("meta.")
        values = (one.metadata.get(key) for one in self._matching(filters))
        return (value for value in values if value is not None)

    # -- awaited ------------------------------------------------------------------------------------------------------

    async def write_documents_async(
        self, documents: list[HaystackDocument], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """`write_documents`, on another thread."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """`delete_documents`, on another thread."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self) -> None:
        """`delete_all_documents`, on another thread."""
        await asyncio.to_thread(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`delete_by_filter`, on another thread."""
        return await asyncio.to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """`update_by_filter`, on another thread."""
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    async def count_documents_async(self) -> int:
        """`count_documents`, on another thread."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[HaystackDocument]:
        """`filter_documents`, on another thread."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`count_documents_by_filter`, on another thread."""
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """`count_unique_metadata_by_filter`, on another thread."""
        return await asyncio.to_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """`get_metadata_fields_info`, on another thread."""
        return await asyncio.to_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """`get_metadata_field_min_max`, on another thread."""
        return await asyncio.to_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """`get_metadata_field_unique_values`, on another thread."""
        return await asyncio.to_thread(
            self.get_metadata_field_unique_values, metadata_field, search_term, from_, size, filters
        )

    async def search_async(
        self,
        query: str | Sequence[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        *,
        mode: SearchMode = "vector",
        scale_score: bool = False,
    ) -> list[HaystackDocument]:
        """`search`, on another thread."""
        return await asyncio.to_thread(self.search, query, filters, top_k, mode=mode, scale_score=scale_score)


_TYPES: dict[type, str] = {bool: "boolean", int: "int", float: "float"}


def _hashable(value: Json) -> tuple[str, str]:
    """One key for one value: 1, 1.0, "1" and true are four."""
    return type(value).__name__, repr(value)
