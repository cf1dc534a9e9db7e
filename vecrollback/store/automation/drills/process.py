"""What the processes of a drill do: one asks an alias all the time, one rolls back on a full disk.

Each is started with the store in its environment and with a way to open it, see `StoreOpener.program`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from vecrollback.errors import CatalogUnavailableError, VecrollbackError
from vecrollback.store.automation.operated_store import OperatedStore
from vecrollback.switching.policy import Policy

_PAUSE_SECONDS = 0.002
Connect = Callable[[], AbstractContextManager[OperatedStore]]


class _Seen(NamedTuple):
    pair: str | None
    epoch: int
    error: str


def main(connect: Connect, arguments: Sequence[str]) -> None:
    """Do what the command line says: `ask ALIAS` or `roll-back-on-a-full-disk`."""
    if arguments[0] == "ask":
        ask(connect, arguments[1])
    else:
        os._exit(roll_back_on_a_full_disk(connect))  # nothing could be flushed or closed in order


def ask(connect: Connect, alias: str) -> None:
    """Ask until the standard input ends.

    Prints one JSON line whenever another pair or epoch answers, and when answers fail or come back.
    """
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    seen: _Seen | None = None
    with connect() as store, store.searcher(alias=alias) as searcher:
        while not ended.is_set():
            try:
                result = searcher.search("what is this about", k=1)
                now = _Seen(result.pair, result.epoch, "")
            except (VecrollbackError, OSError) as error:
                now = _Seen(None, 0, str(error))
            if now != seen:
                print(json.dumps({"at": time.time(), **now._asdict()}), flush=True)
                seen = now
            time.sleep(_PAUSE_SECONDS)


def roll_back_on_a_full_disk(connect: Connect) -> int:
    """Roll back while no file can grow; 0 when that was refused whole."""
    with connect() as store:
        store.notices.use(Policy())
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        try:
            store.rollback(reason="a drill on a full disk", catch_up=False)
        except CatalogUnavailableError as error:
            sys.stdout.write(f"refused: {error}")
            sys.stdout.flush()
            return 0
        return 1
