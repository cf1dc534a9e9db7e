"""Long work as a handle: watch it, wait for it, cancel it, resume it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from vecrollback.catalog import Catalog
from vecrollback.errors import CatalogUnavailableError, JobCancelledError, StoppedError, UsageError, VecrollbackError
from vecrollback.records import JobRecord, Progress, ProgressCallback
from vecrollback.reembedding.dispatch import EmbedCounts
from vecrollback.storage.forks import FollowsForks, follow_forks

_log = logging.getLogger(__name__)
T = TypeVar("T")
_REPORT_SECONDS = 0.5
_BEAT_SECONDS = 10.0


class Job(FollowsForks, Generic[T]):
    """Work that runs on a thread of its own. It stops cleanly at the next batch when cancelled, from any process."""

    def __init__(self, catalog: Catalog, record: JobRecord, work: Callable[[], T]) -> None:
        self.id, self._name = record.id, f"{record.kind} of {record.pair}"
        self._catalog = catalog
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None
        self._end = threading.Event()
        follow_forks(self)
        name = f"vecrollback-{record.kind}-{record.id}"
        for target in (self._run, self._beat):
            threading.Thread(target=target, name=name, daemon=True).start()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r}, {self._name}, {'ended' if self._end.is_set() else 'running'})"

    def forked(self) -> None:
        """The threads that do the work are the parent's; who waits here would wait for ever."""
        had_ended, self._end = self._end.is_set(), threading.Event()
        self._end.set()
        if had_ended:
            return
        self._error = UsageError(
            f"job {self.id} runs in the process that started it, not in this child of it",
            hint=f"look at it: store.job({self.id!r}), `vecrollback jobs`",
        )

    def _run(self) -> None:
        try:
            self._result = self._work()
            self._catalog.jobs.finish(self.id, "done")
        except BaseException as error:
            # Every error, also of Rust code: whoever waits must get it, and the catalog must not show a running job.
            self._error = error
            by_request = isinstance(error, StoppedError)
            try:
                self._catalog.jobs.finish(self.id, "cancelled" if by_request else "failed", str(error))
            except VecrollbackError as unwritten:  # `wait` raises the first error; this job shows as lost
                _log.warning("how job %s ended is not kept: %s", self.id, unwritten)
        finally:
            self._end.set()

    def _beat(self) -> None:
        """Show other hosts that the process lives, also while one batch takes long."""
        while not self._end.wait(_BEAT_SECONDS):
            with contextlib.suppress(CatalogUnavailableError):
                self._catalog.jobs.beat(self.id)

    def status(self) -> JobRecord:
        """The job as the catalog knows it."""
        return self._catalog.jobs.get(self.id)

    def wait(self, timeout: float | None = None) -> T:
        """The result, once there is one. Raises what the work raised, TimeoutError after `timeout` seconds.

        Ctrl-C cancels the job and lets its batch end before it is passed on; a second one does not wait.
        """
        try:
            in_time = self._end.wait(timeout)  # not Thread.join: interrupted, it takes the thread for finished (< 3.13)
        except KeyboardInterrupt:
            self.cancel()
            self._end.wait()
            raise
        if not in_time:
            raise TimeoutError(f"job {self.id} is still running")
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]

    def cancel(self) -> None:
        """Stop at the next batch; what is done stays done. Idempotent."""
        self._catalog.jobs.cancel(self.id)

    def pause(self) -> None:
        """Wait before the next batch, until `resume`. Idempotent."""
        self._catalog.jobs.pause(self.id, True)

    def resume(self) -> None:
        """Go on after a pause. Idempotent."""
        self._catalog.jobs.pause(self.id, False)


class Reporter:
    """Reports progress: to the caller at every batch, to the catalog twice a second; raises on a cancel."""

    def __init__(self, catalog: Catalog, job: str, callback: ProgressCallback | None) -> None:
        self._catalog, self._job, self._callback = catalog, job, callback
        self._last = 0.0
        self._tally = EmbedCounts()
        self._embedding: Progress | None = None
        self.phase = "embedding"

    def enter(self, phase: str, tally: EmbedCounts) -> None:
        """Begin another phase. The end of the phase before is written first, whenever the last report was."""
        self.check(self._progress(self.phase))
        self.phase = phase
        self(tally)

    def __call__(self, tally: EmbedCounts) -> None:
        self._tally = tally
        progress = self._progress(self.phase)
        if progress.tokens > (self._embedding.tokens if self._embedding else 0):
            self._embedding = progress  # the pace is that of embedding: what comes after it takes time and no token
        if self._callback is not None:
            self._callback(progress)
        if time.monotonic() - self._last > _REPORT_SECONDS:
            self._last = time.monotonic()
            self.check(progress)

    def look(self, obstacle: str) -> bool:
        """Whether somebody paused the job. Reports the obstacle, if there is one. Raises JobCancelledError."""
        if obstacle:
            progress = self._progress(obstacle)
            if self._callback is not None:
                self._callback(progress)
            self.check(progress)
        cancel, pause = self._catalog.jobs.asked(self._job)
        if cancel:
            raise self._cancel_error(self._progress(self.phase))
        return pause

    def check(self, progress: Progress) -> None:
        """Raise JobCancelledError when somebody asked the job to stop."""
        facts = {"phase": progress.phase, "documents": progress.documents, "total": progress.total}
        facts |= {"chunks": progress.chunks, "tokens": progress.tokens, "given_up": progress.given_up}
        facts["elapsed"] = round(progress.elapsed, 1)
        if self._embedding is not None:
            facts["tokens_per_second"] = round(self._embedding.tokens_per_second, 1)
            facts["share_of_ceiling"] = _round(self._embedding.share_of_ceiling)
        if self._catalog.jobs.report(self._job, facts):
            raise self._cancel_error(progress)

    def _progress(self, phase: str) -> Progress:
        tally = self._tally
        return Progress(
            job=self._job,
            phase=phase,
            documents=tally.documents,
            total=max(tally.total, tally.documents),
            chunks=tally.chunks,
            tokens=tally.tokens,
            embedded=tally.embedded,
            elapsed=tally.elapsed,
            given_up=tally.given_up,
            share_of_ceiling=tally.share,
        )

    def _cancel_error(self, progress: Progress) -> JobCancelledError:
        return JobCancelledError(
            f"job {self._job} was cancelled after {progress.documents} of {progress.total} changes",
            hint="the same command again goes on where it stopped",
        )


def _round(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
