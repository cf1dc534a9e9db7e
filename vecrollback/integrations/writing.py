"""Writing what frameworks hand over: in parts, with the vectors that are made already, until queries find all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vecrollback.errors import DocumentExistsError, FingerprintMismatchError
from vecrollback.integrations.backend import Backend, read
from vecrollback.integrations.batches import document_batches, is_remote, wait_until_found
from vecrollback.records import Document, IfAbsent, PairVectors, WriteResult


def write(
    backend: Backend, documents: Iterable[Document], namespace: str | None = None, *, visible: bool = True
) -> int:
    """Write documents in batches, each of them whole or not at all; returns how many were new or changed.

    With `visible` queries find them when this returns. One wait for the last batch is a wait for all.
    """
    return _write(backend, document_batches(documents), None, namespace, None, visible=visible)


def write_embedded(
    backend: Backend,
    documents: Sequence[Document],
    vectors: PairVectors | None,
    namespace: str | None = None,
    if_absent: IfAbsent | None = None,
    *,
    visible: bool = True,
) -> int:
    """Write documents whose vectors may be made already, which are then taken over; returns how many were written.

    Where somebody moved `live` since they were made, the vectors are of no use: the documents are written without them.
    With `if_absent="fail"` all are written or none. A server takes only so much in one request: those of several
    requests are looked up first, and if somebody else writes one of them in between, the error says what is written.
    """
    batches: Iterable[list[Document]] = document_batches(documents, 0 if vectors is None else vectors.vectors.shape[1])
    if if_absent == "fail":
        batches = _whole(backend, list(batches), namespace)
    if visible and if_absent is not None:
        backend.wait(0)  # refused before anything is written where nothing serves
    return _write(backend, batches, vectors, namespace, if_absent, visible=visible)


def _whole(backend: Backend, batches: list[list[Document]], namespace: str | None) -> list[list[Document]]:
    """The same documents in one batch, or in several of which none exists at this moment."""
    documents = [document for batch in batches for document in batch]
    if len(batches) < 2 or not is_remote(backend):
        return [documents] if documents else []
    if present := [document.id for document in read(backend, [one.id for one in documents], namespace)]:
        raise DocumentExistsError(
            f"{len(present):,} documents exist, {present[0]!r} for one; nothing was written",
            hint="write those alone that are new, or replace what exists",
        )
    return batches


def _write(
    backend: Backend,
    batches: Iterable[list[Document]],
    vectors: PairVectors | None,
    namespace: str | None,
    if_absent: IfAbsent | None,
    *,
    visible: bool,
) -> int:
    place = written = head = 0
    for batch in batches:
        given = None if vectors is None else vectors[place : place + len(batch)]
        try:
            result, of_use = _upsert(backend, batch, given, namespace, if_absent)
        except DocumentExistsError as error:
            if not place:
                raise
            raise DocumentExistsError(
                f"{error.message}; the {place:,} documents before them are written",
                hint="give the rest again, without those that exist",
            ) from error
        vectors = vectors if of_use else None
        place, written, head = place + len(batch), written + result.written, result.head
    if visible and head:
        wait_until_found(backend, head)
    return written


def _upsert(
    backend: Backend, batch: list[Document], vectors: PairVectors | None, namespace: str | None, absent: IfAbsent | None
) -> tuple[WriteResult, bool]:
    """What the write did, and whether the vectors are still those of the live pair."""
    try:
        return backend.upsert(batch, if_absent=absent, namespace=namespace, vectors=vectors), True
    except FingerprintMismatchError:
        if vectors is None:
            raise
        return backend.upsert(batch, if_absent=absent, namespace=namespace), False
