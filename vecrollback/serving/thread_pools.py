"""Threads for work that blocks, with a bound on what may wait for them."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from vecrollback.errors import OverloadedError

P = ParamSpec("P")
T = TypeVar("T")


class ThreadPool:
    """A few threads for one kind of work, so that a slow kind never holds up another."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._name, self._room = name, threads + waiting
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"vecrollback-{name}")
        self._count = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the work, done on a thread. Raises OverloadedError when too much waits already."""
        if self._count >= self._room:
            raise OverloadedError(f"{self._count} requests for {self._name} are in hand", hint="ask again a bit later")
        self._count += 1
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(
            self._pool, partial(context.run, partial(work, *args, **kwargs))
        )
        # Not in a `finally` here: a caller who leaves cancels the waiting, not the work.
        future.add_done_callback(self._leave)
        return await asyncio.shield(future)

    def _leave(self, future: asyncio.Future[T]) -> None:
        self._count -= 1
        if not future.cancelled():
            future.exception()  # nobody may be left to take it

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
