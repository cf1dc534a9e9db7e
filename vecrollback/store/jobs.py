"""What a store does with long work: lists jobs, starts, pauses and cancels them, and says what they left undone.

These are methods of `Store`, which has everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from vecrollback.records import JobRecord, Pair, ProgressCallback, RuntimeBatches, UnembeddedDocument

if TYPE_CHECKING:
    from vecrollback.catalog import Catalog
    from vecrollback.reembedding.jobs import Job

T = TypeVar("T")


class JobMethods:
    """The methods of `Store` about jobs."""

    if TYPE_CHECKING:  # what `Store` has

        @property
        def _catalog(self) -> Catalog: ...
        def pair(self, pair: Pair | str) -> Pair: ...

    def jobs(
        self, *, unfinished: bool = False, kind: str | None = None, pair: str | None = None, limit: int | None = None
    ) -> list[JobRecord]:
        """List jobs: re-embedding, catch-up, repair and what else takes long.

        Of those that are done the newest 200 of each kind and pair are kept.

        Args:
            unfinished: Only those that are not done: running, failed, cancelled, or lost with their process.
            kind: Only jobs of this kind, such as `catch-up`.
            pair: Only jobs of the pair of this name.
            limit: At most so many.

        Returns:
            The jobs, newest first.

        Example:
            >>> {job.kind for job in store.jobs()}
            {'reembed'}
        """
        return self._catalog.jobs.all(unfinished=unfinished, kind=kind, pair=pair, limit=limit)

    def job(self, job: str) -> JobRecord:
        """Read one job as it stands.

        Args:
            job: Its id.

        Returns:
            The job: state, progress, error, and where it runs.

        Raises:
            UnknownNameError: There is no such job.

        Example:
            >>> store.job(store.jobs()[0].id).state
            'done'
        """
        return self._catalog.jobs.get(job)

    def start_job(self, kind: str, pair: str, work: Callable[[ProgressCallback], T]) -> Job[T]:
        """Run any long work as a job, so that it can be watched, paused and cancelled from every process.

        Args:
            kind: What it is, for people.
            pair: The name of the pair that it is about.
            work: Is called on a thread of its own. The callback it gets reports progress, waits while the job is
                paused, and raises JobCancelledError when it was cancelled.

        Returns:
            The job, already running.

        Example:
            >>> store.start_job("count", "v1", lambda progress: len(store.pairs())).wait()
            2
        """
        from vecrollback.reembedding.jobs import Job, Reporter

        record = self._catalog.jobs.start(kind, pair)
        reporter = Reporter(self._catalog, record.id, None)
        return Job(self._catalog, record, lambda: work(reporter.check))

    def cancel(self, job: str) -> JobRecord:
        """Ask a job to stop at its next batch, wherever it runs. What is done stays done.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.

        Raises:
            UnknownNameError: There is no such job.

        Example:
            >>> store.cancel(store.jobs()[0].id).state  # it had ended already
            'done'
        """
        self._catalog.jobs.cancel(job)
        return self.job(job)

    def pause(self, job: str) -> JobRecord:
        """Ask a job to wait before its next batch, until `resume`, wherever it runs.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.

        Raises:
            UnknownNameError: There is no such job.

        Example:
            >>> store.pause(store.jobs()[0].id).kind
            'reembed'
        """
        return self._set_paused(job, paused=True)

    def resume(self, job: str) -> JobRecord:
        """Let a paused job go on.

        Args:
            job: Its id.

        Returns:
            The job as it stands now.

        Raises:
            UnknownNameError: There is no such job.

        Example:
            >>> store.resume(store.jobs()[0].id).paused
            False
        """
        return self._set_paused(job, paused=False)

    def unembedded_documents(self, job: str) -> list[UnembeddedDocument]:
        """List documents that a job could not embed and that still have no vector.

        Args:
            job: The job's id.

        Returns:
            Each with the reason the model gave.

        Example:
            >>> store.unembedded_documents(store.jobs()[0].id)
            []
        """
        return self._catalog.embedding.without(job=job)

    def runtime_batches(self, pair: Pair | str) -> list[RuntimeBatches]:
        """List which runtimes embedded batches of a pair beside its own embedder, and what was measured of each.

        Args:
            pair: The pair, or its name.

        Returns:
            One entry for each runtime of each job; none when the pair's own embedder made everything.

        Raises:
            UnknownNameError: There is no such pair.

        Example:
            >>> store.runtime_batches("v1")
            []
        """
        return self._catalog.embedding.made(self.pair(pair).name)

    def _set_paused(self, job: str, *, paused: bool) -> JobRecord:
        self.job(job)  # raises for a name that is unknown
        self._catalog.jobs.pause(job, paused)
        return self.job(job)
