"""What one worker process holds for all its requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from vecrollback.errors import (
    FingerprintMismatchError,
    OverloadedError,
    RerankerError,
    RerankerSpecError,
    StoppedError,
    UsageError,
)
from vecrollback.records import (
    LineState,
    Progress,
    ProgressCallback,
    Result,
    SearchOptions,
    Situation,
    SituationLine,
)
from vecrollback.reembedding.jobs import Job
from vecrollback.server.auth import Authenticator
from vecrollback.server.errors import status_of
from vecrollback.server.metrics import Metrics
from vecrollback.server.policy_watch import PolicyWatch
from vecrollback.server.pools import Pools
from vecrollback.server.settings import ServerSettings
from vecrollback.server.traffic_series import Series
from vecrollback.serving.batching import QueryBatcher
from vecrollback.serving.pair_vectors import pair_vectors
from vecrollback.store.store import Store, connect

_log = logging.getLogger(__name__)
T = TypeVar("T")
_RECENT_SECONDS, _ERROR_SHARE = 60, 0.01
_READY_SECONDS = 2.0
"""How long `/readyz` waits for a query that proves the worker: balancers ask again soon, and give up soon."""


class StoreService(Pools):
    """A store, its searcher, and the threads that use them; opened when a worker starts, closed when it ends."""

    def __init__(self, store: Store, settings: ServerSettings) -> None:
        super().__init__()
        self.store, self.settings = store, settings
        self.searcher = store.searcher()
        self.metrics = Metrics()
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self.series = Series(Path(folder) if folder else None)
        self.closing = False
        anonymous = store.actor if settings.anonymous else None
        self.callers = Authenticator(store.access, self.token_reads, self.writes, anonymous=anonymous)
        self.coalescer, self.keyword_coalescer = (self._batcher(settings) for _ in range(2))
        self.watch = PolicyWatch(
            store,
            self.series,
            self.searcher,
            file=settings.policy,
            stopping=lambda: self.closing,
            progress=self.progress(),
        )
        self._first_answer_given = False
        self._first_query: asyncio.Task[str] | None = None
        self._jobs: list[Job[Any]] = []
        self.streams = 0

    @classmethod
    def open(cls, uri: str | None, catalog: str | None, settings: ServerSettings) -> StoreService:
        """Connect, and answer a first query, so that no caller waits for a model to load."""
        service = cls(connect(uri, catalog=catalog), settings)
        if reason := service.ask_first():
            _log.warning("not ready yet: %s", reason)
        return service

    async def search(self, queries: list[str], options: SearchOptions, key: str | None = None) -> list[Result]:
        """One result for each query, all from one pair; `key`: whose they are, for a canary's draw."""
        start = time.perf_counter()
        try:
            canary = key is not None and self.searcher.draws(key)
            # Words alone ask no model, so they never wait behind queries that do.
            by_words = options.mode == "keyword" and options.reranker is None
            results = await (self.keyword_coalescer if by_words else self.coalescer).ask(queries, options, canary)
        except Exception as error:
            self._note_failure(error)
            raise
        self._note_answers(queries, results, time.perf_counter() - start)
        return results

    async def search_vectors(
        self, vectors: list[list[float]], fingerprint: str, options: SearchOptions
    ) -> list[Result]:
        """One result for each vector. Raises FingerprintMismatchError, UsageError."""
        start = time.perf_counter()
        try:
            given = pair_vectors(vectors, fingerprint)
            results = await self.vector_queries.run(self.searcher.answer_vectors, given, options)
        except FingerprintMismatchError as error:  # the caller's vectors are of another model: a wrong question
            self.metrics.failed(error)
            raise
        except Exception as error:
            self._note_failure(error)
            raise
        self._note_answers([], results, time.perf_counter() - start)
        return results

    def _batcher(self, settings: ServerSettings) -> QueryBatcher:
        return QueryBatcher(
            lambda texts, options, canary: self.searcher.answer(texts, options, canary=canary, counted=False),
            threads=settings.threads,
            max_batch=settings.max_batch,
            max_waiting=settings.max_waiting,
            seen=self.metrics.batched,
        )

    def _note_failure(self, error: Exception) -> None:
        """Count a query that got an error, whatever it was: its caller sees one all the same."""
        self.metrics.failed(error)
        if _says_something_of_the_pair(error):
            self.series.failed()
            self.searcher.traffic.failed()

    def _note_answers(self, queries: list[str], results: list[Result], seconds: float) -> None:
        """Count the answers of one request. `queries`: their words, of which some are sampled; none of vectors."""
        if not results or not results[0].pair:
            return  # nothing serves yet: there is nothing to measure
        self.metrics.answered(results, seconds)
        if not results[0].canary:  # what a candidate does says nothing about the pair that serves
            self.series.answered(results, seconds)
            if queries:
                self.watch.samples.add(queries, results)
            self.searcher.traffic.answered(queries, results, seconds)
        if self.settings.tracing:
            from vecrollback.server.tracing import note_answer

            note_answer(results)

    async def follow_lag(self) -> None:
        """Note every second how far the live pair is behind, as the searcher's last reading of the pointer has it."""
        while True:
            if (pointer := self.searcher.pointer) is not None:
                self.series.behind(pointer.epoch, pointer.head - pointer.watermark)
            await asyncio.sleep(1)

    async def unready(self) -> str:
        """Why queries cannot be answered; empty when they can. Waits for no model longer than a moment."""
        if self.closing:
            return "shutting down"
        if self._first_answer_given and not self.searcher.doubt:
            return ""
        # In doubt, too: a balancer has taken this process out, so no query comes that could prove the model again.
        if self._first_query is None or self._first_query.done():
            self._first_query = asyncio.create_task(self.readiness.run(self.ask_first))
        try:
            return await asyncio.wait_for(asyncio.shield(self._first_query), _READY_SECONDS)
        except TimeoutError:
            return self.searcher.doubt or "the model has not answered a first query yet"

    def ask_first(self) -> str:
        """Ask a query, which loads what it needs; why no other can be answered yet, empty when all can."""
        try:
            pair = self.searcher.search("ready?", k=1).pair
        except Exception as error:  # whatever it is: the worker is not ready, and says so
            return self.searcher.doubt if self._first_answer_given else type(error).__name__
        if not pair and not self._first_answer_given:
            return "no pair is live yet"
        self._first_answer_given = True
        return self.searcher.doubt

    def situation(self, status: dict[str, Any] | None = None) -> Situation:
        """How the store stands, and the queries of the last minute on all workers of this server. Raises nothing."""
        return self.store.situation(status).with_line(self._queries_line())

    def _queries_line(self) -> SituationLine:
        spans = self.series.spans(_RECENT_SECONDS, step=_RECENT_SECONDS)
        answers, errors = sum(span.answers for span in spans), sum(span.errors for span in spans)
        if self.searcher.doubt:
            return SituationLine("queries", "alert", f"answers are in doubt: {self.searcher.doubt}")
        if not self.searcher.current:
            why = self.searcher.trouble or self.searcher.reason
            return SituationLine("queries", "alert", f"answers come from what was last known: {why}")
        if not errors:
            return SituationLine("queries", "ok", f"{answers:,} answered in the last minute, no errors")
        share = errors / (answers + errors)
        state: LineState = "alert" if share > _ERROR_SHARE else "note"
        text = f"{errors:,} of {answers + errors:,} queries of the last minute got an error, {share:.1%}"
        return SituationLine("queries", state, text, "vecrollback rollback --dry-run" if state == "alert" else "")

    def metrics_page(self) -> bytes:
        """Everything for Prometheus; also while the catalog cannot be read."""
        return self.metrics.page(self.store, self.situation())

    def progress(self, also: ProgressCallback | None = None) -> ProgressCallback:
        """A callback for long work that ends it when the server does; what is done stays done."""

        def report(progress: Progress) -> None:
            if self.closing:
                raise StoppedError("the server is shutting down", hint="ask again: it goes on where it stopped")
            if also is not None:
                also(progress)

        return report

    def start(self, kind: str, pair: str, work: Callable[[ProgressCallback], T]) -> Job[T]:
        """Do long work beside the requests, as a job."""
        job = self.store.start_job(kind, pair, lambda callback: work(self.progress(callback)))
        self._jobs = [*(j for j in self._jobs if j.status().state == "running"), job]
        return job

    def audited(self, actor: str, action: str, subject: str) -> None:
        """Note a change other than a pointer move, in the catalog and in the log, before it is made."""
        _log.info("audit", extra={"actor": actor, "action": action, "subject": subject})
        self.store.access.record(actor, action, subject)

    def open_stream(self) -> Callable[[], None]:
        """Take room for one stream of events; returns what gives it back. Raises OverloadedError."""
        if self.streams >= self.settings.max_streams:
            raise OverloadedError(f"{self.streams} streams are open already", hint="close some", retry_after=5)
        self.streams += 1

        def close() -> None:
            self.streams -= 1

        return close

    def close(self) -> None:
        """Let jobs stop at their next batch, then let go of everything."""
        # Jobs and streams look at this; what they have finished by then is durable, so a new start goes on from there.
        self.closing = True
        deadline = time.monotonic() + self.settings.drain_seconds
        for job in self._jobs:
            with contextlib.suppress(Exception):
                job.wait(max(0.0, deadline - time.monotonic()))
        self.watch.close(max(1.0, deadline - time.monotonic()))
        self.close_pools()
        self.coalescer.close()
        self.keyword_coalescer.close()
        self.searcher.close()
        self.store.close()


def _says_something_of_the_pair(error: Exception) -> bool:
    """Not a wrong question, nor a reranker that is broken. An embedder that cannot be opened is no wrong question."""
    if isinstance(error, RerankerError | RerankerSpecError):
        return False
    return not isinstance(error, UsageError) or status_of(error) >= 500


async def service_of(request: Request) -> StoreService:
    """The service of a request. Async, or FastAPI sends it to a thread, which costs more than a search."""
    service: StoreService = request.app.state.service
    return service


Service = Annotated[StoreService, Depends(service_of)]
