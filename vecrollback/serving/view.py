"""A pair opened for search: the index of a snapshot, the rows after it, and what must not be shown.

Everything here is immutable. When the corpus or the vectors moved on, `advanced` makes the next view over the same
open files, so a query that began with one view ends with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vecrollback.corpus.corpus import Corpus
from vecrollback.corpus.selection import DocumentSet, in_namespace
from vecrollback.corpus.text_cache import Base, TextCache
from vecrollback.indexes import exact_search
from vecrollback.pairs.vectors import Vectors, newest
from vecrollback.records import WHOLE_TEXT, Hit, SearchOptions, key_parts
from vecrollback.records.arrays import FloatArray, Mask, take_rows
from vecrollback.serving.masks import KEPT_FILTERS, Filter, frozen, is_in, mask_deleted
from vecrollback.serving.open_snapshot import OpenSnapshot


@dataclass(frozen=True, slots=True)
class RowsAfter:
    """All rows after those of an index, superseded and deleted ones too. Rows are only added, so each is read once."""

    keys: pa.Table
    vectors: FloatArray

    @classmethod
    def read(cls, vectors: Vectors, version: int, after: int, before: RowsAfter | None) -> RowsAfter:
        """The rows of a version after so many. `before`: those of an earlier one."""
        first = after + (before.keys.num_rows if before else 0)
        vectors.require_sound_after(version, first)
        keys, rows = vectors.keys(version, after=first), vectors.vectors(version, after=first)
        if before is None:
            return cls(keys, rows)
        if not keys.num_rows:
            return before
        both = pa.concat_tables([before.keys, keys]).combine_chunks()
        return cls(both, np.concatenate([before.vectors, rows]))


@dataclass(frozen=True, slots=True)
class Delta:
    """Rows of the vectors table after the index was built: searched exactly, and hiding the older ones.

    `has_namespaces`: some of the documents are in one. `rows_after`: what this was chosen from.
    """

    ids: list[str]
    rows: NDArray[np.int32]
    ordinals: NDArray[np.int32]
    spans: NDArray[np.int32]
    hashes: list[bytes]
    vectors: FloatArray
    supersedes: frozenset[str]
    has_namespaces: bool
    rows_after: RowsAfter | None = None


@dataclass(frozen=True, slots=True)
class PairView:
    """What one query searches. `alive`: positions of the index that may be shown, None when all may."""

    snapshot: OpenSnapshot
    vectors: Vectors | None
    vectors_version: int
    watermark: int
    tombstones: Mapping[str, int]
    delta: Delta
    texts: TextCache
    rows: NDArray[np.int32]
    stale: Mask
    alive: Mask | None
    _filters: dict[tuple[str, str | None], tuple[Mask, Mask]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether no row can be shown at all."""
        return not self.delta.ids and not (len(self.snapshot.ids) if self.alive is None else self.alive.any())

    def search(
        self, queries: FloatArray, k: int, only: Filter | None = None, *, include_vectors: bool = False
    ) -> list[list[Hit]]:
        """The k nearest documents of each query, each by its best chunk. Without a filter: of all namespaces."""
        mask, delta_mask = self._masks_for(only)
        rows, counted = len(self.snapshot.ids) + len(self.delta.ids), False
        # Several of the nearest chunks may be of one document, so more than k are asked for; and again, until there
        # are k documents or nothing is left.
        fetch = k if self.snapshot.one_chunk_each and not np.any(self.delta.ordinals) else 4 * k
        while True:
            nearest = self._nearest(queries, min(fetch, rows), mask, delta_mask, only.namespace if only else "")
            answers = [self._hits(scores, places, k, include_vectors) for scores, places in nearest]
            if fetch >= rows or all(len(hits) == k for hits in answers):
                return answers
            if not counted:  # a pass over all rows, so only for an answer that lacks documents
                rows, counted = _count(mask, len(self.snapshot.ids)) + _count(delta_mask, len(self.delta.ids)), True
                if fetch >= rows:
                    return answers
            fetch *= 4

    def _nearest(
        self, queries: FloatArray, k: int, mask: Mask | None, delta_mask: Mask | None, namespace: str
    ) -> list[tuple[FloatArray, NDArray[np.int64]]]:
        if k == 0:
            return [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries]
        scores, positions = self.snapshot.index_within(namespace).search(queries, k, mask)
        if not self.delta.ids:
            return list(zip(scores, positions, strict=True))
        metric = self.snapshot.index.metric
        more, places = exact_search(self.delta.vectors, queries, k, metric, delta_mask)
        # Places of the delta follow those of the index, so one number names a row of either; -1 stays "none".
        places = np.where(places >= 0, places + len(self.snapshot.ids), -1)
        scores, positions = np.hstack([scores, more]), np.hstack([positions, places])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        both = np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)
        return list(zip(*both, strict=True))

    def _hits(self, scores: FloatArray, places: NDArray[np.int64], k: int, include_vectors: bool) -> list[Hit]:
        hits: dict[str, Hit] = {}
        best: list[int] = []
        ids, index_size = self.snapshot.ids, len(self.snapshot.ids)
        for score, place in zip(scores.tolist(), places.tolist(), strict=True):
            if place < 0 or len(hits) == k:
                break
            in_index = place < index_size
            key = ids[place].as_py() if in_index else self.delta.ids[place - index_size]
            # Places come best first: the first chunk of a document is its best.
            if key not in hits:
                hits[key] = (
                    self._hit_of_index(place, key, score)
                    if in_index
                    else self._hit_of_delta(place - index_size, key, score)
                )
                best.append(place)
        return self._with_vectors(list(hits.values()), best) if include_vectors else list(hits.values())

    def _with_vectors(self, hits: list[Hit], places: list[int]) -> list[Hit]:
        """The hits with the vectors of their places, as the pair's own table has them: an index may hold less."""
        index_size = len(self.snapshot.ids)
        positions = np.array([place for place in places if place < index_size], np.int64)
        if self.vectors is None or not len(positions):
            stored = self.snapshot.index.reconstruct(positions)
        else:
            rows_of_table = self.snapshot.rows[positions]
            self.vectors.require_sound_rows(self.vectors_version, rows_of_table)
            stored = self.vectors.read(self.vectors_version, rows_of_table).vectors
        rows = iter(stored)
        every = (next(rows) if place < index_size else self.delta.vectors[place - index_size] for place in places)
        return [replace(hit, vector=tuple(one.tolist())) for hit, one in zip(hits, every, strict=True)]

    def _hit_of_index(self, position: int, key: str, score: float) -> Hit:
        snapshot, row = self.snapshot, int(self.rows[position])
        change = self.texts.changed.get(key) if self.texts.changed else None
        stale = (
            bool(self.stale[position]) if change is None else snapshot.hashes[position].tobytes() != change.content_hash
        )
        start, end = snapshot.spans[position].tolist()  # characters of the text with this hash, and of no other
        text, metadata, other_text = self.texts.lookup(key, row)
        # The span of an outdated vector, or in another text, means nothing in this one: the whole is returned.
        namespace, id_ = key_parts(key) if snapshot.has_namespaces else ("", key)
        stale = stale or self._is_unread(key, row)
        if stale or other_text:
            return Hit(id_, score, text, metadata, WHOLE_TEXT, stale, namespace)
        return Hit(id_, score, text[start:end], metadata, int(snapshot.ordinals[position]), stale, namespace)

    def _is_unread(self, key: str, row: int) -> bool:
        """Whether the log cannot say any more what this document is: it is shown by its id, without a text."""
        return row < 0 and key not in self.texts.changed

    def _hit_of_delta(self, place: int, key: str, score: float) -> Hit:
        delta, texts, row = self.delta, self.texts, int(self.delta.rows[place])
        change = texts.changed.get(key)
        current = change.content_hash if change else b"" if row < 0 else texts.base.hashes[row].tobytes()
        text, metadata, other_text = texts.lookup(key, row)
        start, end = delta.spans[place].tolist()
        stale = current != delta.hashes[place]
        namespace, id_ = key_parts(key)
        if stale or other_text:
            return Hit(id_, score, text, metadata, WHOLE_TEXT, stale, namespace)
        return Hit(id_, score, text[start:end], metadata, int(delta.ordinals[place]), stale, namespace)

    def _masks_for(self, only: Filter | None) -> tuple[Mask | None, Mask | None]:
        has_namespaces = self.snapshot.has_namespaces or self.delta.has_namespaces
        if only is None or not (only.where or only.namespace or has_namespaces):
            return self.alive, None
        masks = self._filters.get((only.namespace, only.where))
        if masks is None:
            delta_ids = pa.array(self.delta.ids, pa.string())
            mask = self.snapshot.in_namespace(only.namespace)
            delta_mask = np.asarray(in_namespace(delta_ids, only.namespace), dtype=bool)
            if only.matching is not None:
                matching = only.matching(self.texts)
                mask, delta_mask = mask & is_in(self.snapshot.ids, matching), delta_mask & is_in(delta_ids, matching)
            mask = mask if self.alive is None else mask & self.alive
            masks = frozen(mask), delta_mask
            # Bounded, because callers write the filters; cleared whole, because a view lives until the next change.
            if len(self._filters) >= KEPT_FILTERS:
                self._filters.clear()
            self._filters[only.namespace, only.where] = masks
        return masks


def restriction(options: SearchOptions, corpus: Corpus, *, head: int, version: int, whole: bool = False) -> Filter:
    """What an answer is restricted to.

    Args:
        options: What was asked for.
        corpus: Whose documents they are.
        head: Of the log, as the query has read it.
        version: Of the log at this head.
        whole: See `Corpus.matching`.

    Raises:
        BadFilterError: The `where` cannot be read.
    """
    if options.where is None:
        return Filter(options.namespace)
    selection = DocumentSet.of(options.where, options.namespace)

    def matching(texts: TextCache) -> pa.Array:
        # Somebody may have written between the reading of the head and that of the texts. At the same head the version
        # read last is taken: the other one may be compacted away.
        return corpus.matching(selection, version=version if texts.head == head else texts.version, whole=whole)

    return Filter(options.namespace, options.where, matching)


def open_view(
    snapshot: OpenSnapshot,
    vectors: Vectors | None,
    texts: TextCache,
    tombstones: Mapping[str, int],
    *,
    vectors_version: int,
    watermark: int,
    before: RowsAfter | None = None,
) -> PairView:
    """The view of a snapshot and all acknowledged rows after it, at the head of `texts`.

    `vectors` None: of what its index holds alone, where the rows after it cannot be read. `before`: rows after it that
    were read for an earlier version.
    """
    delta = _no_delta(snapshot)
    if vectors:
        delta = _read_delta(snapshot, vectors, vectors_version, tombstones, texts, before)
    rows, stale = _join(snapshot, texts.base)
    alive = mask_deleted(snapshot.ids, snapshot.seq, np.ones(len(snapshot.ids), dtype=bool), tombstones)
    # A document with newer rows answers from those alone, also where they are fewer than the old ones.
    alive[snapshot.positions_of(delta.supersedes)] = False
    # Ids without a row in the file of texts: either new since that file was written, or deleted before it.
    # Where the log is damaged, they may be of a document that cannot be read: what was deleted, the ledger knows.
    unknown = np.flatnonzero(rows < 0)
    if len(unknown) and not texts.problem:
        new_ids = [id_ for id_, change in texts.changed.items() if not change.deleted]
        is_new = is_in(snapshot.ids.take(pa.array(unknown)), pa.array(new_ids, pa.string()))
        alive[unknown[~is_new]] = False
    mask = None if alive.all() else frozen(alive)
    return PairView(snapshot, vectors, vectors_version, watermark, tombstones, delta, texts, rows, stale, mask)


def advanced(
    view: PairView,
    vectors: Vectors,
    texts: TextCache,
    tombstones: Mapping[str, int],
    *,
    vectors_version: int,
    watermark: int,
) -> PairView:
    """The view after more was written. `tombstones`: those since the view's; costs what changed, not the corpus."""
    went_back = vectors_version < view.vectors_version
    if texts.base is not view.texts.base or went_back:
        # Back to older vectors, by an exact restore: what the newer ones hid must show again.
        return open_view(
            view.snapshot,
            vectors,
            texts,
            {**view.tombstones, **tombstones},
            vectors_version=vectors_version,
            watermark=watermark,
            before=None if went_back else view.delta.rows_after,
        )
    all_tombstones = {**view.tombstones, **tombstones} if tombstones else view.tombstones
    delta = view.delta
    if vectors_version != view.vectors_version or tombstones:
        before = view.delta.rows_after
        delta = _read_delta(view.snapshot, vectors, vectors_version, all_tombstones, texts, before)
    alive = view.alive
    fresh = delta.supersedes - view.delta.supersedes
    if fresh or tombstones:
        mask = np.ones(len(view.snapshot.ids), dtype=bool) if alive is None else alive.copy()
        mask = mask_deleted(view.snapshot.ids, view.snapshot.seq, mask, tombstones)
        mask[view.snapshot.positions_of(fresh)] = False
        alive = None if mask.all() else frozen(mask)
    return replace(
        view,
        vectors=vectors,
        vectors_version=vectors_version,
        watermark=watermark,
        tombstones=all_tombstones,
        delta=delta,
        texts=texts,
        alive=alive,
        _filters={},
    )


def without(view: PairView, tombstones: Mapping[str, int]) -> PairView:
    """The view minus what was deleted since; all that can be done while the files of later changes cannot be read."""
    if not tombstones:
        return view
    alive = np.ones(len(view.snapshot.ids), dtype=bool) if view.alive is None else view.alive.copy()
    alive = mask_deleted(view.snapshot.ids, view.snapshot.seq, alive, tombstones)
    delta = view.delta
    alive_places = np.flatnonzero(~is_in(pa.array(delta.ids, pa.string()), pa.array(list(tombstones), pa.string())))
    delta = Delta(
        ids=[delta.ids[place] for place in alive_places],
        rows=delta.rows[alive_places],
        ordinals=delta.ordinals[alive_places],
        spans=delta.spans[alive_places],
        hashes=[delta.hashes[place] for place in alive_places],
        vectors=delta.vectors[alive_places],
        supersedes=delta.supersedes,
        has_namespaces=delta.has_namespaces,
    )
    return replace(view, delta=delta, alive=frozen(alive), _filters={})


def _read_delta(
    snapshot: OpenSnapshot,
    vectors: Vectors,
    version: int,
    tombstones: Mapping[str, int],
    texts: TextCache,
    before: RowsAfter | None,
) -> Delta:
    rows_after = RowsAfter.read(vectors, version, snapshot.manifest.index.rows, before)
    keys = rows_after.keys
    rows = newest(keys, dict(tombstones))
    # A negative ordinal marks a document that has no chunk: it hides older rows and is itself no answer.
    rows = rows[np.asarray(keys["ordinal"])[rows] >= 0]
    ids = keys["doc_id"].take(pa.array(rows))
    base_rows = texts.base.rows_of(ids)
    new_ids = pa.array([id_ for id_, change in texts.changed.items() if not change.deleted], pa.string())
    in_corpus = (base_rows >= 0) | is_in(ids, new_ids) | bool(texts.problem)
    rows, base_rows = rows[in_corpus], base_rows[in_corpus]
    columns = keys.take(pa.array(rows))
    return Delta(
        ids=columns["doc_id"].to_pylist(),
        rows=base_rows,
        ordinals=np.asarray(columns["ordinal"]),
        spans=np.stack([np.asarray(columns["start"]), np.asarray(columns["end"])], axis=1),
        hashes=columns["content_hash"].to_pylist(),
        vectors=take_rows(rows_after.vectors, rows),
        supersedes=frozenset(keys["doc_id"].to_pylist()),
        has_namespaces=not pc.all(in_namespace(columns["doc_id"], "")).as_py() if len(columns) else False,
        rows_after=rows_after,
    )


def _count(mask: Mask | None, rows: int) -> int:
    """How many of so many rows a mask allows; None allows all."""
    return rows if mask is None else int(np.count_nonzero(mask))


def _no_delta(snapshot: OpenSnapshot) -> Delta:
    nothing = np.empty(0, np.int32)
    vectors = np.empty((0, snapshot.manifest.dimension), np.float32)
    return Delta([], nothing, nothing, np.empty((0, 2), np.int32), [], vectors, frozenset(), has_namespaces=False)


def _join(snapshot: OpenSnapshot, base: Base) -> tuple[NDArray[np.int32], Mask]:
    rows = base.rows_of(snapshot.ids)
    if not len(base.ids):
        return rows, np.zeros(len(rows), dtype=bool)
    stale = (rows >= 0) & np.any(snapshot.hashes != base.hashes[np.maximum(rows, 0)], axis=1)
    return rows, stale
