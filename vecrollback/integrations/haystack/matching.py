"""Which documents a filter of Haystack matches: as Haystack's own store would say it, or an error, and never a guess.

Where the store's filter says the same, it is asked. Where it does not, documents that are only read are looked at one
by one. A search and a delete do not do that: the one would take time by the whole collection with every query, and the
other would delete what somebody has changed since it was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from haystack.errors import FilterError
from haystack.utils.filters import document_matches_filter

from vecrollback.errors import BadFilterError
from vecrollback.integrations.backend import Backend
from vecrollback.integrations.haystack.conversion import from_store
from vecrollback.integrations.haystack.filters import (
    StoreFilter,
    UnanswerableFilterError,
    to_store_filter,
    with_plain_values,
)
from vecrollback.records import Document, Where

Filters = Mapping[str, Any] | None

_TO_SEARCH = (
    "a search compares plain values of one key, and dates that are all written in one form: keep the value under "
    "a key of its own, such as meta.author_name, or filter what `filter_documents` reads"
)
_TO_DELETE = (
    "a delete compares plain values of one key, and dates that are all written in one form: read with "
    "`filter_documents`, look at what is found, and give its ids to `delete_documents`"
)


def matching_documents(backend: Backend, filters: Filters, namespace: str | None) -> Iterator[Document]:
    """Every document that a filter matches, by id."""
    with filter_errors():
        if (answerable := _answerable(backend, filters, namespace)) is not None:
            yield from backend.documents(answerable.where, namespace=namespace)
        else:
            yield from (one for one in backend.documents(namespace=namespace) if _matches(filters, one))


def count_matching(backend: Backend, filters: Filters, namespace: str | None) -> int:
    """How many documents a filter matches."""
    with filter_errors():
        if (answerable := _answerable(backend, filters, namespace)) is not None:
            return backend.count(answerable.where, namespace)
    return sum(1 for _ in matching_documents(backend, filters, namespace))


def where_to_search(backend: Backend, filters: Filters, namespace: str | None) -> Where | None:
    """A filter for a search. Raises FilterError where the store cannot answer it as Haystack's own would."""
    return _clear(backend, filters, namespace, _TO_SEARCH).where


def where_to_delete(backend: Backend, filters: Filters, namespace: str | None) -> Where:
    """A filter for a delete. Raises FilterError, too, for one that restricts nothing."""
    clear = _clear(backend, filters, namespace, _TO_DELETE)
    if clear.where is None:
        raise FilterError("this filter restricts nothing; to delete everything, call `delete_all_documents`")
    if clear.unclear is None:
        return clear.where
    return {"$and": [clear.where, {"$not": clear.unclear}]}  # somebody may have written such a document since


@contextmanager
def filter_errors() -> Iterator[None]:
    """Raise what the store says of a filter as Haystack's own error."""
    try:
        yield
    except BadFilterError as error:
        raise FilterError(f"{error.message}; {error.hint}" if error.hint else error.message) from error


def _answerable(backend: Backend, filters: Filters, namespace: str | None) -> StoreFilter | None:
    """The filter as the store takes it; None where it would answer something else than Haystack's own store."""
    try:
        translated = to_store_filter(filters)
    except UnanswerableFilterError:
        return None
    unclear = translated.unclear is not None and backend.count(translated.unclear, namespace)
    return None if unclear else translated


def _clear(backend: Backend, filters: Filters, namespace: str | None, cure: str) -> StoreFilter:
    try:
        translated = to_store_filter(filters)
    except UnanswerableFilterError as error:
        raise FilterError(f"{error.fact}; {cure}") from error
    if translated.unclear is not None and (unclear := backend.count(translated.unclear, namespace)):
        raise FilterError(f"of some documents ({unclear:,}) the answer is not certain: {translated.doubt}; {cure}")
    return translated


def _matches(filters: Filters, document: Document) -> bool:
    try:
        return document_matches_filter(with_plain_values(filters), from_store(document))
    except (TypeError, AttributeError) as error:  # a list, say, and a number have no order
        raise FilterError(f"document {document.id!r}: {error}") from error
