"""Searching: a searcher follows an alias, reads the pointer for every query, and answers from exactly one pair."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa

from vecrollback.artifacts import Artifacts
from vecrollback.catalog import Catalog
from vecrollback.corpus import Corpus
from vecrollback.embedders import Embedder
from vecrollback.errors import FingerprintMismatchError, UnknownNameError, UsageError, VecrollbackError
from vecrollback.models import Models
from vecrollback.passages import Passages, open_passages
from vecrollback.passages import advanced as advanced_passages
from vecrollback.records import Hit, Pair, Pointer, Reader, Result
from vecrollback.vectors import FloatArray, Vectors
from vecrollback.view import Filter, OpenSnapshot, PairView, open_view
from vecrollback.view import advanced as advanced_view

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.005
_HEARTBEAT_SECONDS = 1.0
_MAX_K = 10_000

Queries = list[str] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    """A pair that can answer at once: its model loaded, its files open, its view at some head."""

    pair: Pair
    embedder: Embedder
    view: PairView


class Searcher:
    """Answers queries from the pair an alias points to. Safe to use from many threads; close it or use `with`.

    A query reads the pointer once and stays with what it found. The pairs that could come next (standby, candidate)
    are held open as well, so a move costs no load. `follow=False` leaves out the background thread, the registration
    as a reader and the warm pairs: for one-off queries.
    """

    def __init__(
        self,
        catalog: Catalog,
        corpus: Corpus,
        artifacts: Artifacts,
        models: Models,
        *,
        vectors_of: Callable[[Pair], Vectors],
        cache: Path,
        alias: str = "live",
        follow: bool = True,
    ) -> None:
        self._catalog, self._corpus, self._artifacts, self._models = catalog, corpus, artifacts, models
        self._vectors_of, self._cache, self.alias = vectors_of, cache, alias
        self._pointers = catalog.aliases.pointer_reader(alias)
        self._candidates = catalog.aliases.pointer_reader("candidate")
        self._candidate: Pointer | None = None
        self._id = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._passages: Passages | None = None
        self._current: tuple[Pointer, _Held] | None = None
        self._warm: dict[str, _Held] = {}
        self._cold: set[str] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if follow:
            self._thread = threading.Thread(target=self._follow, name=f"vecrollback-{alias}", daemon=True)
            self._thread.start()

    @overload
    def search(self, query: str, k: int = 10, where: str | None = None) -> Result: ...
    @overload
    def search(self, query: Queries, k: int = 10, where: str | None = None) -> list[Result]: ...
    def search(self, query: str | Queries, k: int = 10, where: str | None = None) -> Result | list[Result]:
        """The k nearest live documents of a query, or of each of several.

        `where`: SQL over the metadata. Raises UnknownNameError while the alias points nowhere, BadFilterError.
        """
        single = isinstance(query, str)
        texts = [query] if isinstance(query, str) else list(query)
        if any(not isinstance(text, str) or not text.strip() for text in texts):
            raise UsageError("a query is blank or not a string", hint="pass the words to search for")
        pointer, held = self._now(k)
        results = self._answer(pointer, held, held.embedder.embed_queries(texts), k, where) if texts else []
        return results[0] if single else results

    def search_vectors(
        self, vectors: FloatArray, *, fingerprint: str, k: int = 10, where: str | None = None
    ) -> list[Result]:
        """Search with query vectors, shape (n, dimension), made elsewhere by the embedder of this fingerprint.

        Raises FingerprintMismatchError unless it is the serving pair's, or was declared equal to it.
        """
        pointer, held = self._now(k)
        if fingerprint not in self._catalog.equivalences.of(held.pair.fingerprint):
            raise FingerprintMismatchError(
                f"these vectors are of embedder {fingerprint}; pair {held.pair.name!r} is of {held.pair.fingerprint}",
                hint="embed the query with that pair's model, or declare the two equal: `vecrollback embedder equate`",
            )
        queries = np.ascontiguousarray(np.atleast_2d(vectors), dtype=np.float32)
        if queries.shape[1] != held.pair.dimension or not np.isfinite(queries).all():
            raise UsageError(
                f"query vectors have shape {queries.shape}; "
                f"pair {held.pair.name!r} needs finite ones of (n, {held.pair.dimension})"
            )
        return self._answer(pointer, held, queries, k, where)

    def _answer(self, pointer: Pointer, held: _Held, queries: FloatArray, k: int, where: str | None) -> list[Result]:
        only = Filter(where, lambda: self._matching(where)) if where else None
        found: list[list[Hit]] = held.view.search(queries, k, only)
        settings = held.view.snapshot.manifest.settings
        return [
            Result(pointer.pair, pointer.snapshot, pointer.epoch, held.view.watermark, settings, hits) for hits in found
        ]

    def _matching(self, where: str) -> pa.Array:
        return self._corpus.at_head(lambda state: self._corpus.matching(where, version=state.version))

    def _now(self, k: int) -> tuple[Pointer, _Held]:
        """The pointer as it is now, and what serves it. Law 1: everything a query does comes from this one value."""
        if not isinstance(k, int) or not 1 <= k <= _MAX_K:
            raise UsageError(f"k is {k!r}; it must be a whole number from 1 to {_MAX_K}")
        pointer = self._pointers.read()
        current = self._current
        if current is not None and current[0] is pointer:
            return current
        return self._apply(pointer)

    def _apply(self, pointer: Pointer | None) -> tuple[Pointer, _Held]:
        with self._lock:
            pointer = self._pointers.read() if pointer is not None else None
            if pointer is None:
                raise UnknownNameError(
                    f"alias {self.alias!r} points to no pair yet",
                    hint="build one and let it serve: `vecrollback reembed MODEL --name v1 --promote`",
                )
            if self._current is None or self._current[0] is not pointer:
                self._refresh_corpus()
                ref = f"{pointer.pair}@{pointer.snapshot}"
                held = self._advance(ref, pointer.vectors_version, pointer.watermark)
                self._current = (pointer, held)
            return self._current

    def _refresh_corpus(self) -> None:
        """Bring texts and tombstones to the head. Deletes count from the first query after their acknowledgement."""
        if self._passages is None:
            self._passages = open_passages(self._corpus, self._cache)
        else:
            self._passages = advanced_passages(self._passages, self._corpus)

    def _advance(self, ref: str, vectors_version: int, watermark: int) -> _Held:
        """The pair behind `ref` at these versions and at the passages' head, opened when it is not."""
        held = self._warm.get(ref)
        assert self._passages is not None
        at = {"vectors_version": vectors_version, "watermark": watermark}
        if held is None:
            held = self._open(ref, at)
        else:
            view = held.view
            behind = (view.vectors_version, view.watermark, view.passages.head)
            if behind != (vectors_version, watermark, self._passages.head):
                fresh = self._catalog.ledger.tombstones(view.passages.head)
                view = advanced_view(view, self._vectors_of(held.pair), self._passages, fresh, **at)
                held = replace(held, view=view)
        self._warm[ref] = held
        return held

    def _open(self, ref: str, at: dict[str, int]) -> _Held:
        assert self._passages is not None
        snapshot = self._catalog.pairs.find_snapshot(ref)
        pair = self._catalog.pairs.get(snapshot.pair)
        embedder = self._models.of(pair)
        opened = OpenSnapshot(self._artifacts, snapshot)
        tombstones = self._catalog.ledger.tombstones()
        view = open_view(opened, self._vectors_of(pair), self._passages, tombstones, **at)
        return _Held(pair, embedder, view)

    # -- following the alias ------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        self._catalog.readers.forget_dead()
        announced: tuple[int, tuple[str, ...]] | None = None
        beat = 0.0
        while not self._stop.is_set():
            try:
                pointer = self._pointers.read()
                if pointer is not None and (self._current is None or self._current[0] is not pointer):
                    self._apply(pointer)
                state = (self._current[0].epoch if self._current else 0, tuple(sorted(self._warm)))
                due = time.monotonic() - beat > _HEARTBEAT_SECONDS
                if due or state != announced:
                    self._announce(*state)
                    announced, beat = state, time.monotonic()
                if due or self._wanted_moved():
                    self._keep_warm()
            except Exception as error:
                # A follower outlives whatever is wrong with one pair; queries raise the same error to their callers.
                if self._stop.is_set():
                    return
                _log.warning("following alias %r: %s", self.alias, error)
                self._stop.wait(_HEARTBEAT_SECONDS)
            self._stop.wait(_POLL_SECONDS)

    def _announce(self, epoch: int, warm: tuple[str, ...]) -> None:
        row = Reader(self._id, self.alias, socket.gethostname(), os.getpid(), epoch, warm, time.time())
        self._catalog.readers.announce(row)

    def _keep_warm(self) -> None:
        """Hold open what the alias may move to next, let go of the rest. Never blocks a query."""
        with self._lock:
            self._refresh_corpus()
        if self._passages is not None and self._passages.worn:
            self._passages = open_passages(self._corpus, self._cache)
        wanted = self._wanted()
        for ref, pair in wanted.items():
            try:
                if ref not in self._warm:
                    held = self._open(ref, {"vectors_version": pair.vectors_version, "watermark": pair.watermark})
                    held.embedder.embed_queries(["warm"])
                    self._warm.setdefault(ref, held)
                with self._lock:
                    self._advance(ref, pair.vectors_version, pair.watermark)
                self._cold.discard(ref)
            except VecrollbackError as error:
                if ref not in self._cold:
                    _log.warning("pair %s cannot be held warm: %s", ref, error)
                self._cold.add(ref)
        with self._lock:
            serving = self._current[0] if self._current else None
            kept = set(wanted) | ({f"{serving.pair}@{serving.snapshot}"} if serving else set())
            for ref in set(self._warm) - kept:
                del self._warm[ref]

    def _wanted_moved(self) -> bool:
        candidate = self._candidates.read()
        moved, self._candidate = candidate is not self._candidate, candidate
        return moved

    def _wanted(self) -> dict[str, Pair]:
        pairs = {pair.name: pair for pair in self._catalog.pairs.all()}
        wanted = {pair.ref: pair for pair in pairs.values() if pair.state == "standby"}
        candidate = self._catalog.aliases.get("candidate")
        if candidate and pairs[candidate[0]].state != "quarantined":  # its model may be what is broken
            wanted[f"{candidate[0]}@{candidate[1]}"] = pairs[candidate[0]]
        return wanted

    def close(self) -> None:
        """Leave the catalog and let go of the files. Queries in flight end first where they are."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            with contextlib.suppress(Exception):
                self._catalog.readers.leave(self._id)
        with self._lock:
            self._current = None
            self._warm.clear()
        self._pointers.close()
        self._candidates.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
