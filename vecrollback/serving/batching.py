"""Concurrent queries as one call of the searcher, so that one encode serves them all.

An idle server adds no wait: the first query goes at once. Those that arrive while it runs form the next batch. So
batches grow exactly as long as the model is what everybody waits for.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from vecrollback.errors import OverloadedError, UsageError
from vecrollback.records import Result, SearchOptions

Search = Callable[[list[str], SearchOptions, bool], list[Result]]
"""Queries, everything else that was asked, and whether a canary is to answer."""


class Group(NamedTuple):
    """Queries that one call can answer: they differ in their words only."""

    options: SearchOptions
    canary: bool = False


@dataclass(slots=True)
class _Entry:
    """One caller's queries and where the answers go."""

    queries: list[str]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    answer: asyncio.Future[list[Result]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class QueryBatcher:
    """Gathers queries by group; each group runs one batch at a time, as many groups at once as there are threads.

    Lives on one event loop, all but `_run`. What one caller asks together is answered by one call, so by one pair.
    """

    def __init__(
        self, search: Search, *, threads: int, max_batch: int, max_waiting: int, seen: Callable[[int], None]
    ) -> None:
        self._search, self._seen = search, seen
        self._threads, self._max_batch, self._max_waiting = threads, max_batch, max_waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="vecrollback-search")
        self._waiting: dict[Group, deque[_Entry]] = {}
        self._running: set[Group] = set()
        self._count = 0
        self._seconds_each = 0.0

    async def ask(self, queries: list[str], options: SearchOptions, canary: bool = False) -> list[Result]:
        """A result for each query. Raises OverloadedError at once when too many wait already."""
        if self._count and self._count + len(queries) > self._max_waiting:
            raise OverloadedError(
                f"{self._count} queries wait for an answer already",
                hint="ask again after the seconds of Retry-After, or start more workers",
                retry_after=max(1, math.ceil(self._count * self._seconds_each)),
            )
        entry, group = _Entry(queries), Group(options, canary)
        self._count += len(queries)
        entry.answer.add_done_callback(lambda _: self._leave(len(queries)))
        self._waiting.setdefault(group, deque()).append(entry)
        self._start_what_can()
        return await entry.answer

    def _leave(self, queries: int) -> None:
        self._count -= queries

    def _start_what_can(self) -> None:
        for group in [group for group in self._waiting if group not in self._running]:
            if len(self._running) >= self._threads:
                return
            if batch := self._take(group):
                self._start(group, batch)

    def _take(self, group: Group) -> list[_Entry]:
        """The oldest of a group, up to a full batch; the rest queues again behind the other groups."""
        waiting, batch, size = self._waiting.pop(group), list[_Entry](), 0
        while waiting and (not batch or size + len(waiting[0].queries) <= self._max_batch):
            entry = waiting.popleft()
            if not entry.answer.cancelled():  # else its caller has left
                batch.append(entry)
                size += len(entry.queries)
        if waiting:
            self._waiting[group] = waiting
        return batch

    def _start(self, group: Group, batch: list[_Entry]) -> None:
        self._running.add(group)
        self._seen(sum(len(entry.queries) for entry in batch))
        # On a pool of its own: the loop goes on taking requests while a model embeds.
        # In the context of the caller who waited longest: the spans of the batch stand below that request.
        self._pool.submit(batch[0].context.run, self._run, asyncio.get_running_loop(), group, batch)

    def _run(self, loop: asyncio.AbstractEventLoop, group: Group, batch: list[_Entry]) -> None:
        """On a thread. Comes back by itself: `run_in_executor` takes one more turn of the loop to do so."""
        start = time.perf_counter()
        answers = self._answer(group, batch)
        loop.call_soon_threadsafe(self._end, group, batch, answers, time.perf_counter() - start)

    def _answer(self, group: Group, batch: list[_Entry]) -> list[list[Result] | Exception]:
        """The answers in the order of the batch."""
        try:
            results = iter(self._search([query for entry in batch for query in entry.queries], *group))
            return [[next(results) for _ in entry.queries] for entry in batch]
        except UsageError as error:
            # One caller's words may be at fault: in halves, so that few calls more answer all the others.
            middle = len(batch) // 2
            return self._answer(group, batch[:middle]) + self._answer(group, batch[middle:]) if middle else [error]
        except Exception as error:
            return [error] * len(batch)

    def _end(self, group: Group, batch: list[_Entry], answers: list[list[Result] | Exception], seconds: float) -> None:
        size = sum(len(entry.queries) for entry in batch)
        self._running.discard(group)
        self._seconds_each = 0.8 * self._seconds_each + 0.2 * seconds / max(1, size)
        for entry, answer in zip(batch, answers, strict=True):
            # Its caller has left: a cancelled future takes no answer.
            if entry.answer.done():
                continue
            if isinstance(answer, Exception):
                entry.answer.set_exception(answer)
            else:
                entry.answer.set_result(answer)
        self._start_what_can()

    def close(self) -> None:
        self._pool.shutdown(wait=True)
