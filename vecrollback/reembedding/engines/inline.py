"""Threads of this process: one for a model that is here, several for one behind a service.

While they embed, the thread that drives them reads and writes tables.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue

from vecrollback.embedders import Embedder
from vecrollback.reembedding.engines.base import Outcome, Unit, run_unit


class Threads:
    """Workers that share one embedder, and with it its rate and its spend limit."""

    def __init__(self, embedder: Embedder, count: int = 1) -> None:
        self._embedder = embedder
        self._count = count
        self._units: SimpleQueue[Unit | None] = SimpleQueue()
        self._ended: SimpleQueue[Outcome] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def width(self) -> int:
        return self._count

    @property
    def workers(self) -> int:
        return self._count

    def submit(self, unit: Unit) -> None:
        if len(self._threads) < self._count:
            # daemons: a process that ends does not wait for a model
            thread = threading.Thread(target=self._work, name=f"vecrollback-embed-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._units.put(unit)

    def take(self) -> Outcome:
        return self._ended.get()

    def close(self) -> None:
        for _ in self._threads:
            self._units.put(None)
        self._threads.clear()

    def _work(self) -> None:
        while (unit := self._units.get()) is not None:
            self._ended.put(run_unit(self._embedder, unit))
