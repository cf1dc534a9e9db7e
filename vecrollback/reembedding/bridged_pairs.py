"""Catching a pair up whose own model is gone: documents come over a bridge, from another pair's model.

Such a vector says by its provenance which bridge it came over. It is never used for another document, never given to
another pair, and never taken for one that the pair's own model made; a repair embeds its document again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vecrollback.catalog import Catalog, vectors_table
from vecrollback.corpus.corpus import Corpus
from vecrollback.embedders import Embedder
from vecrollback.embedders.base import Traits, traits_of
from vecrollback.embedders.pieces import embed_documents
from vecrollback.errors import EmbeddingError, PairStateError, UsageError, VecrollbackError
from vecrollback.pairs.bridge_maps import BridgeMap
from vecrollback.pairs.bridges import Bridges
from vecrollback.pairs.embedders import PairEmbedders
from vecrollback.pairs.vectors import ChunkVectors, ReusableVectors, Vectors
from vecrollback.quality.check.bridged import with_bridged
from vecrollback.records import Bridge, CatchUp, Effort, Json, Metric, Pair, ProgressCallback, Snapshot, Span
from vecrollback.records.arrays import FloatArray
from vecrollback.reembedding.dispatch import PLAIN, SameTexts, Throttle
from vecrollback.reembedding.jobs import Reporter
from vecrollback.reembedding.refresher import Refresher


@dataclass(frozen=True, slots=True)
class BridgedEmbedder:
    """Another pair's model with a map into the space of `pair` behind it. Texts are split as that model splits them."""

    source: Embedder
    map: BridgeMap
    pair: Pair

    @property
    def spec(self) -> str:
        return self.source.spec

    @property
    def contract(self) -> Mapping[str, Json]:
        return self.source.contract

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    @property
    def traits(self) -> Traits:
        return traits_of(self.source)

    @property
    def dimension(self) -> int:
        return self.pair.dimension

    @property
    def metric(self) -> Metric:
        return self.pair.metric

    def chunk(self, text: str) -> list[Span]:
        return self.source.chunk(text)

    def embed_documents(self, texts: Sequence[str]) -> FloatArray:
        return self.mapped(embed_documents(self.source, texts))

    def embed_queries(self, texts: Sequence[str]) -> FloatArray:
        return self.mapped(self.source.embed_queries(texts))

    def count_tokens(self, texts: Sequence[str]) -> int:
        return self.source.count_tokens(texts)

    def close(self) -> None:
        """Nothing: the model is the source pair's, which closes it."""

    def mapped(self, vectors: FloatArray) -> FloatArray:
        """Vectors of the source, shape (n, its dimension), in the space of the pair."""
        return self.map.apply(vectors) if len(vectors) else np.empty((0, self.dimension), np.float32)


@dataclass(frozen=True, slots=True)
class Crossing:
    """What documents come over: a bridge, the embedder on its far side, and what the source pair has embedded."""

    bridge: Bridge
    embedder: BridgedEmbedder
    archive: ReusableVectors


class BridgedRefresher(Refresher):
    """Brings a pair to the head of the log over a bridge. Vectors of its own that exist are still its own."""

    def __init__(
        self,
        catalog: Catalog,
        corpus: Corpus,
        vectors: Vectors,
        crossing: Crossing,
        pair: Pair,
        *,
        report: Reporter,
        gate: Throttle,
        job: str,
    ) -> None:
        super().__init__(catalog, corpus, vectors, crossing.embedder, pair, on_batch=report, gate=gate, job=job)
        self._made_by, self._crossing = crossing.bridge.provenance, crossing
        self.bridged = 0

    def _embed(self, groups: list[SameTexts]) -> None:
        if not groups:
            return
        changes = [change for group in groups for change in group]
        # Before they are written: should this die, a worker still knows what to embed again.
        before, head = self._catalog.reports.newest(self._pair.name), self._corpus.state().head
        self._catalog.reports.add(with_bridged(before, self._pair, [one.id for one in changes], head))
        vectors_by_hash = self._given([group[0].content_hash for group in groups])
        batch = [(one, vectors_by_hash[one.content_hash]) for one in changes if one.content_hash in vectors_by_hash]
        if batch:
            self.tally.reused += len(batch)
            self._append(batch, made_by=self._made_by)
            self._on_batch(self.tally)
        super()._embed([group for group in groups if group[0].content_hash not in vectors_by_hash])
        self.bridged += len(changes)

    def _given(self, hashes: Sequence[bytes]) -> dict[bytes, ChunkVectors]:
        """What the source pair has of these texts, mapped."""
        known, mapped = self._crossing.archive.find(hashes), self._crossing.embedder.mapped
        return {hash_: replace(chunks, vectors=mapped(chunks.vectors)) for hash_, chunks in known.items()}


class BridgedPairs:
    """The methods of `Builder` about pairs whose own model is gone."""

    if TYPE_CHECKING:  # what `Builder` has
        _catalog: Catalog
        _corpus: Corpus
        _embedders: PairEmbedders
        _bridges: Bridges
        _vectors_of: Callable[[Pair], Vectors]

        def _snapshot(self, name: str, *, rebuild: bool) -> Snapshot: ...
        def _needs_new_index(self, name: str, since: int = 0) -> bool: ...
        def _hide_deleted(self, pair: Pair) -> None: ...
        def _tidy(self, name: str) -> None: ...

    def catch_up_by_bridge(
        self,
        pair: Pair,
        job: str,
        progress: ProgressCallback | None = None,
        *,
        advance: bool = True,
        effort: Effort = PLAIN,
    ) -> CatchUp:
        """Bring a pair to the head of the log over the best bridge whose source answers.

        Args:
            pair: The pair. Its own model must not answer.
            job: That this belongs to.
            progress: Called after every batch.
            advance: Build a new index when many rows stand outside the old one.
            effort: How hard to work. It is done in this process.

        Returns:
            What was done; `bridged` counts the documents that came over the bridge.

        Raises:
            UsageError: The pair's own model answers.
            PairStateError: No bridge that keeps enough leads into the pair.
            EmbeddingError: None of the models that it could come from answers.
        """
        self._require_silent(pair)
        with ExitStack() as held:
            crossing = self._crossing(pair, held)
            held.enter_context(self._catalog.lock(f"pair-{pair.name}"))
            report = Reporter(self._catalog, job, progress)
            pair = self._catalog.pairs.get(pair.name)
            throttle = Throttle(effort, report.look)
            refresher = BridgedRefresher(
                self._catalog,
                self._corpus,
                self._vectors_of(pair),
                crossing,
                pair,
                report=report,
                gate=throttle,
                job=job,
            )
            tally = refresher.run()
            self._hide_deleted(pair)
            if advance and self._needs_new_index(pair.name):
                self._snapshot(pair.name, rebuild=True)
            self._tidy(pair.name)
        return CatchUp(
            pair=pair.name,
            watermark=refresher.watermark,
            lag=self._corpus.state().head - refresher.watermark,
            documents=tally.documents,
            embedded=tally.embedded,
            reused=tally.reused,
            chunks=tally.chunks,
            seconds=tally.elapsed,
            bridged=refresher.bridged,
        )

    def _require_silent(self, pair: Pair) -> None:
        try:
            self._embedders.proven(pair, now=True)
        except (VecrollbackError, ImportError, OSError):
            return
        raise UsageError(
            f"the model of pair {pair.name!r} answers: nothing has to come over a bridge",
            hint=f"`vecrollback catch-up {pair.name}`",
        )

    def _crossing(self, pair: Pair, held: ExitStack) -> Crossing:
        """The best bridge whose source answers; the source's vectors are read until `held` ends."""
        pairs = {one.name: one for one in self._catalog.pairs.all()}
        usable = [
            (one, pairs[one.source])
            for one in self._catalog.bridges.all()
            if one.is_usable
            and one.target_fingerprint == pair.fingerprint
            and one.source != pair.name
            and one.source in pairs
            and pairs[one.source].fingerprint == one.source_fingerprint
        ]
        trouble: Exception | None = None
        for bridge, source in sorted(usable, key=lambda one: -(one[0].worth.bridged or 0.0)):
            try:
                embedder = self._embedders.proven(source)
                crossing = BridgedEmbedder(embedder, self._bridges.open(bridge), pair)
            except (VecrollbackError, ImportError, OSError) as error:
                trouble = error
                continue
            held.enter_context(self._catalog.reading(vectors_table(source.name)))
            version = self._catalog.pairs.get(source.name).vectors_version
            digests = self._catalog.files.of(vectors_table(source.name))
            return Crossing(bridge, crossing, ReusableVectors(self._vectors_of(source), version, digests=digests))
        if trouble is not None:
            raise EmbeddingError(f"no model that a bridge to {pair.name!r} comes from answers: {trouble}")
        raise PairStateError(
            f"no bridge that keeps enough leads to pair {pair.name!r}",
            hint="`vecrollback bridges` shows those that there are; one is learned while both models answer",
        )
