"""The readers of a drill, and what they saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vecrollback.errors import FailedError
from vecrollback.store.store import Store

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
def reading(store: Store, alias: str, count: int) -> Iterator[list[DrillSearcher]]:
    """Processes that follow an alias of the store, until the block ends."""
    readers = [_start(store, alias) for _ in range(count)]
    try:
        yield readers
    finally:
        for reader in readers:
            _stop(reader)


def await_asking(readers: list[DrillSearcher]) -> None:
    """Wait until each has asked, whatever came of it. Raises FailedError for one that ended or never did."""
    _await(readers, "asking", lambda: all(reader.seen for reader in readers))


def await_warm(store: Store, alias: str, readers: list[DrillSearcher], *refs: str) -> None:
    """Wait until each holds these snapshots open and answers."""

    def ready() -> bool:
        warm = [set(refs) <= set(one.warm) for one in store.readers(alias)]
        answering = all(reader.seen and reader.seen[-1]["pair"] for reader in readers)
        return len(warm) >= len(readers) and all(warm) and answering

    _await(readers, "ready", ready)


def await_answer(readers: list[DrillSearcher], pair: str, since: float) -> float:
    """Wait until the pair answers every reader; returns when it first answered the last of them."""
    _await(readers, f"answered by {pair}", lambda: all(reader.answered(pair, since) for reader in readers))
    return max(reader.answered(pair, since) or since for reader in readers)


def _await(readers: list[DrillSearcher], what: str, reached: Any) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not reached():
        for reader in readers:
            if reader.process.poll() is not None:
                raise FailedError(f"a reader ended with {reader.process.returncode} before it was {what}")
        if time.monotonic() > deadline:
            said = "; ".join(str(reader.seen[-1]["error"]) for reader in readers if reader.seen)
            raise FailedError(
                f"the readers were not {what} within {_READY_SECONDS:.0f} s: {said or 'they said nothing'}"
            )
        time.sleep(_POLL_SECONDS)


def _start(store: Store, alias: str) -> DrillSearcher:
    process = subprocess.Popen(
        [sys.executable, "-m", "vecrollback.automation.drills.reader", alias],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **store.environment()},
    )
    reader = DrillSearcher(process)

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            reader.seen.append(json.loads(line))

    threading.Thread(target=listen, daemon=True).start()
    return reader


def _stop(reader: DrillSearcher) -> None:
    assert reader.process.stdin is not None
    reader.process.stdin.close()
    try:
        reader.process.wait(10)
    except subprocess.TimeoutExpired:
        reader.process.kill()
        reader.process.wait()
    assert reader.process.stdout is not None
    reader.process.stdout.close()
