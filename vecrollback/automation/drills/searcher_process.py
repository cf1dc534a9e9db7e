"""A searcher of a drill: a process of its own that asks an alias all the time.

`python -m vecrollback.automation.drills.searcher_process ALIAS`, with the store in the environment; prints one
JSON line whenever another pair or epoch answers, and when answers fail or come back. Ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import NamedTuple

from vecrollback.errors import VecrollbackError
from vecrollback.store.store import connect

_PAUSE_SECONDS = 0.002


class _Seen(NamedTuple):
    pair: str | None
    epoch: int
    error: str


def main(alias: str) -> None:
    """Ask until the standard input ends."""
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


if __name__ == "__main__":
    main(sys.argv[1])
