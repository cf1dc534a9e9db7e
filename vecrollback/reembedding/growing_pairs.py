"""Pairs that serve before they are whole: another pair names candidates, and what queries touch is embedded first.

A first build holds its pair's lock from its first text to its last. This one lets go of it every few seconds, so that
searchers can hand over what they embedded for queries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vecrollback.catalog import Catalog
from vecrollback.errors import PairStateError, StoppedError
from vecrollback.pairs.manifest import CascadePart, Manifest
from vecrollback.pairs.vectors import ChunkVectors, Vectors, newest
from vecrollback.records import CatchUp, Effort, Pair, Progress, ProgressCallback, Snapshot
from vecrollback.reembedding.acceleration import RuntimeLog
from vecrollback.reembedding.dispatch import PLAIN, EmbedCounts, Throttle
from vecrollback.reembedding.engines import Engine
from vecrollback.reembedding.jobs import Reporter
from vecrollback.reembedding.refresher import Refresher

_PATIENCE_SECONDS = 60.0
_SLICE_SECONDS, _BREATH_SECONDS = 5.0, 0.05
"""Nobody holds the lock for longer, but for one batch; then it is free for so long."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """The parts that one job works with, from its first document to its last."""

    job: str
    report: Reporter
    engine: Engine
    throttle: Throttle
    runtime: RuntimeLog | None


class GrowingPairs:
    """The methods of `Builder` about pairs that serve while they are built."""

    if TYPE_CHECKING:  # what `Builder` has
        _catalog: Catalog
        _vectors_of: Callable[[Pair], Vectors]

        def catch_up(
            self, pair: Pair, job: str, progress: ProgressCallback | None = None, *, effort: Effort = PLAIN
        ) -> CatchUp: ...
        def _working(
            self, pair: Pair, job: str, progress: ProgressCallback | None, effort: Effort
        ) -> AbstractContextManager[Workshop]: ...
        def _refresher(self, pair: Pair, work: Workshop, *, answered: int = 0) -> Refresher: ...
        def _snapshot(self, name: str, *, rebuild: bool, cascade: CascadePart | None = None) -> Snapshot: ...
        def _manifest(self, pair: Pair) -> Manifest | None: ...
        def _needs_new_index(self, name: str, since: int = 0) -> bool: ...

    def begin_to_serve(self, pair: Pair, source: Pair) -> Pair:
        """Give a pair that is not whole a snapshot of what it has, from which it can serve beside `source`.

        Args:
            pair: The pair; one that has such a snapshot already gets no other.
            source: The pair that is to name candidates for what this one lacks.

        Returns:
            The pair as it is then.

        Raises:
            PairStateError: Its vectors lie in a database.
            LockHeldError: Somebody else goes on writing it.
        """
        if pair.backend:
            raise PairStateError(
                f"the vectors of pair {pair.name!r} lie in {pair.backend}: it cannot serve before it is whole",
                hint=f"`vecrollback reembed {pair.embedder!r} --name {pair.name}`, then promote it",
            )
        with self._catalog.lock(f"pair-{pair.name}", timeout=_PATIENCE_SECONDS):
            pair = self._catalog.pairs.get(pair.name)
            with self._working(pair, "", None, PLAIN) as work:
                self._refresher(pair, work)  # adopts what a builder that was killed had written
            part = CascadePart(source.name, source.watermark)
            if not pair.snapshot or self._cascade(pair.name) != part:
                self._snapshot(pair.name, rebuild=True, cascade=part)
        return self._catalog.pairs.get(pair.name)

    def is_whole(self, pair: Pair) -> bool:
        """Whether a pair has a snapshot that needs no other pair beside it.

        Args:
            pair: The pair as it is now.

        Returns:
            True for every pair that was built before it served.
        """
        return bool(pair.snapshot) and self._cascade(pair.name) is None

    def keep(self, name: str, given: Mapping[str, tuple[bytes, ChunkVectors]], *, patience: float) -> int:
        """Write vectors that the pair's own embedder made for queries: document -> (hash of its text, vectors).

        Args:
            name: Of the pair.
            given: What was made. Documents that have changed since, or have vectors by now, are left out.
            patience: Seconds to wait for the pair's lock.

        Returns:
            How many documents have vectors of their own then.

        Raises:
            LockHeldError: Somebody else wrote for all that time.
        """
        with self._catalog.lock(f"pair-{name}", timeout=patience):
            pair = self._catalog.pairs.get(name)
            with self._working(pair, "", None, PLAIN) as work:
                self._refresher(pair, work).take_over(list(given), dict(given.values()))
            if not self.is_whole(self._catalog.pairs.get(name)) and self._needs_new_index(name):
                self._snapshot(name, rebuild=True)
            return self.covered(name)

    def fill(
        self,
        pair: Pair,
        job: str,
        progress: ProgressCallback | None = None,
        *,
        effort: Effort = PLAIN,
        between: Callable[[], None] = lambda: None,
    ) -> CatchUp:
        """Make a pair whole that serves already: what queries asked for first, a few seconds at a time.

        Args:
            pair: The pair.
            job: That this belongs to.
            progress: Called after every batch.
            effort: Where it works and how hard.
            between: Called after each turn, with the pair's lock free. What it raises ends the work.

        Returns:
            What was done; the pair is whole then.

        Raises:
            StoppedError: The pair serves no longer.
        """
        done = EmbedCounts()
        while (part := self._cascade(pair.name)) is not None:
            with self._catalog.lock(f"pair-{pair.name}"):
                record = self._catalog.pairs.get(pair.name)
                if record.state not in ("live", "standby"):
                    raise StoppedError(f"pair {pair.name!r} is {record.state}", hint="`vecrollback history` says why")
                turn = self._turn(record, job, progress, effort, part)
                done.embedded, done.reused = done.embedded + turn.embedded, done.reused + turn.reused
                done.documents, done.chunks = done.documents + turn.documents, done.chunks + turn.chunks
                if self._lacks_nothing(pair.name) or self._needs_new_index(pair.name):
                    self._snapshot(pair.name, rebuild=True)
                self._catalog.cascades.count(pair.name, covered=self.covered(pair.name))
            between()
            time.sleep(_BREATH_SECONDS)
        self._catalog.cascades.end(pair.name, "it is whole")
        rest = self.catch_up(pair, job, progress, effort=effort)
        return replace(
            rest,
            documents=rest.documents + done.documents,
            embedded=rest.embedded + done.embedded,
            reused=rest.reused + done.reused,
            chunks=rest.chunks + done.chunks,
            seconds=done.elapsed,
        )

    def _turn(
        self, pair: Pair, job: str, progress: ProgressCallback | None, effort: Effort, part: CascadePart
    ) -> EmbedCounts:
        """Work for a few seconds. What is begun is finished and written."""
        until, over = time.monotonic() + _SLICE_SECONDS, False

        def look(state: Progress) -> None:
            nonlocal over
            if progress is not None:
                progress(state)
            if time.monotonic() > until:
                over = True
                raise StoppedError("others write for a moment")

        with self._working(pair, job, look, effort) as work:
            refresher = self._refresher(pair, work, answered=part.until)
            try:
                refresher.run()
            except StoppedError:
                if not over:
                    raise
            return refresher.tally

    def _cascade(self, name: str) -> CascadePart | None:
        """What the pair's snapshot says of another pair that names what this one lacks."""
        manifest = self._manifest(self._catalog.pairs.get(name))
        return manifest.cascade if manifest else None

    def _lacks_nothing(self, name: str) -> bool:
        """Whether a pair that serves beside another one lacks nothing any more."""
        part = self._cascade(name)
        return part is not None and self._catalog.pairs.get(name).watermark >= part.until

    def covered(self, name: str) -> int:
        """How many documents have vectors.

        Args:
            name: Of the pair.

        Returns:
            Documents, deleted ones left out.
        """
        pair = self._catalog.pairs.get(name)
        keys = self._vectors_of(pair).keys(pair.vectors_version)
        rows = newest(keys, self._catalog.ledger.tombstones())
        return int(np.count_nonzero(np.asarray(keys["ordinal"])[rows] <= 0))
