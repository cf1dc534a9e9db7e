"""What a store does to keep its pairs up to date and to mend them.

These are methods of `Store`, which has everything else.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from vecrollback.errors import UsageError
from vecrollback.records import CatchUp, CaughtUpBy, Effort, Pair, ProgressCallback, Report, Switched
from vecrollback.store.helper import aside

if TYPE_CHECKING:
    from vecrollback.catalog import Catalog
    from vecrollback.pairs.resources import Resources
    from vecrollback.store.parts import Parts


class UpkeepMethods:
    """The methods of `Store` about bringing pairs up to date and mending them."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _parts(self) -> Parts: ...
        @property
        def _catalog(self) -> Catalog: ...
        @property
        def resources(self) -> Resources: ...
        def pair(self, pair: Pair | str) -> Pair: ...
        def _grows(self, pair: Pair) -> bool: ...
        def _fill(self, pair: Pair, job: str, progress: ProgressCallback | None, effort: Effort) -> CatchUp: ...

    @aside
    def catch_up(
        self,
        pair: Pair | str,
        *,
        by: CaughtUpBy | None = None,
        advance: bool = True,
        effort: Effort | None = None,
        progress: ProgressCallback | None = None,
    ) -> CatchUp:
        """Bring a pair to the head of the log with its own embedder, while it serves.

        Args:
            pair: The pair, or its name.
            by: `bridge` where the pair's own model is gone: documents are embedded by another pair's model and mapped.
                Their vectors are marked as such, and `repair` embeds them again once the model is back.
            advance: Build a new index once many rows stand outside the old one, and let aliases follow to it.
            effort: Where the job works and how hard.
            progress: Called after every batch. An exception that it raises ends the work there; what is done stays
                done.

        Returns:
            What was done: changes taken in, texts embedded, vectors reused, seconds, and the lag that is left.

        Raises:
            UnknownNameError: There is no such pair.
            EmbedderChangedError: The model is not the one that made the pair.
            UsageError: By bridge, although the pair's own model answers.
            PairStateError: By bridge, and none that keeps enough leads to the pair.

        Example:
            >>> store.upsert([Document("jam", "Boil plums with sugar.")]).head
            3
            >>> store.catch_up("v2").embedded
            1
        """
        from vecrollback.reembedding.jobs import Job

        if by not in (None, "bridge"):
            raise UsageError(f"by is {by!r}", hint="'bridge', or leave it out")
        record, builder = self.pair(pair), self._parts.builder
        job = self._catalog.jobs.start("catch-up", record.name)
        if by == "bridge":
            cross = builder.catch_up_by_bridge
            work = partial(cross, record, job.id, progress, advance=advance, effort=effort or Effort())
            return Job(self._catalog, job, work).wait()
        if self._grows(record):
            return Job(self._catalog, job, partial(self._fill, record, job.id, progress, effort or Effort())).wait()
        work = partial(builder.catch_up, record, job.id, progress, advance=advance, effort=effort or Effort())
        return Job(self._catalog, job, work).wait()

    @aside
    def repair(self, report: Report, *, mask: bool = False, progress: ProgressCallback | None = None) -> Report:
        """Embed again what a check found wrong, and write it into a new snapshot.

        Args:
            report: What `check` or `audit` returned.
            mask: Leave documents with foreign or invalid vectors out of every answer until the new ones are written.
            progress: Called after every batch.

        Returns:
            The report of the check afterwards.

        Raises:
            EmbedderChangedError: The model is not the one that made the pair.

        Example:
            >>> store.repair(store.check("v1")).verdict
            'pass'
        """
        from vecrollback.quality.audit import certified
        from vecrollback.reembedding.jobs import Job
        from vecrollback.reembedding.repair import Repairer

        repairer = Repairer(self.resources.corpus, self._parts.builder)
        pair = self.pair(report.pair)
        record = self._catalog.jobs.start("repair", pair.name)
        Job(self._catalog, record, lambda: repairer.run(pair, report, record.id, progress, mask=mask)).wait()
        after = certified(self._parts.checker.run(self.pair(pair), "full", progress=progress), report)
        self._catalog.reports.add(after)
        return after

    def _catch_up_after(self, pair: str, switched: Switched, progress: ProgressCallback | None) -> CatchUp:
        """By bridge where the move was made over one, unless the pair's own model is back."""
        if switched.bridge:
            with suppress(UsageError):
                return self.catch_up(pair, by="bridge", advance=False, progress=progress)
        return self.catch_up(pair, advance=False, progress=progress)
