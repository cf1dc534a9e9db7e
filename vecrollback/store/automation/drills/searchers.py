"""The searchers of a drill, and what they saw."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vecrollback.errors import FailedError
from vecrollback.store.automation.operated_store import OperatedStore, StoreOpener

_READY_SECONDS = 180.0
_POLL_SECONDS = 0.01


@dataclass
class DrillSearcher:
    """One process. `seen`: its lines so far."""

    process: subprocess.Popen[str]
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    def answered(self, pair: str, since: float = 0.0) -> float | None:
        """When this pair first answered it, in seconds since 1970."""
        return next((one["at"] for one in self.seen.copy() if one["pair"] == pair and one["at"] >= since), None)


@contextmanager
def reading(store: OperatedStore, opener: StoreOpener, alias: str, count: int) -> Iterator[list[DrillSearcher]]:
    """Processes that follow an alias of the store, until the block ends."""
    searchers = [_start(store, opener, alias) for _ in range(count)]
    try:
        yield searchers
    finally:
        for searcher in searchers:
            _stop(searcher)


def await_asking(searchers: list[DrillSearcher]) -> None:
    """Wait until each has asked, whatever came of it. Raises FailedError for one that ended or never did."""
    _await(searchers, "asking", lambda: all(searcher.seen for searcher in searchers))


def await_warm(store: OperatedStore, alias: str, searchers: list[DrillSearcher], *refs: str) -> None:
    """Wait until each holds these snapshots open and answers."""

    def ready() -> bool:
        warm = [set(refs) <= set(one.warm) for one in store.resources.catalog.searchers.alive(alias)]
        answering = all(searcher.seen and searcher.seen[-1]["pair"] for searcher in searchers)
        return len(warm) >= len(searchers) and all(warm) and answering

    _await(searchers, "ready", ready)


def await_answer(searchers: list[DrillSearcher], pair: str, since: float) -> float:
    """Wait until the pair answers every searcher; returns when it first answered the last of them."""
    _await(searchers, f"answered by {pair}", lambda: all(searcher.answered(pair, since) for searcher in searchers))
    return max(searcher.answered(pair, since) or since for searcher in searchers)


def _await(searchers: list[DrillSearcher], what: str, condition: Any) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not condition():
        for searcher in searchers:
            if searcher.process.poll() is not None:
                raise FailedError(f"a searcher ended with {searcher.process.returncode} before it was {what}")
        if time.monotonic() > deadline:
            errors = "; ".join(str(searcher.seen[-1]["error"]) for searcher in searchers if searcher.seen)
            raise FailedError(
                f"the searchers were not {what} within {_READY_SECONDS:.0f} s: {errors or 'they said nothing'}"
            )
        time.sleep(_POLL_SECONDS)


def _start(store: OperatedStore, opener: StoreOpener, alias: str) -> DrillSearcher:
    process = subprocess.Popen(
        [*opener.program, "ask", alias],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **store.resources.environment},
    )
    searcher = DrillSearcher(process)

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            searcher.seen.append(json.loads(line))

    threading.Thread(target=listen, daemon=True).start()
    return searcher


def _stop(searcher: DrillSearcher) -> None:
    assert searcher.process.stdin is not None
    searcher.process.stdin.close()
    try:
        searcher.process.wait(10)
    except subprocess.TimeoutExpired:
        searcher.process.kill()
        searcher.process.wait()
    assert searcher.process.stdout is not None
    searcher.process.stdout.close()
