"""Hosts that share one store: processes with a cache, a name and an environment of their own.

`python -m tests.support.store_hosts STORE ROLE ARGUMENTS...` does one thing, or goes on until a line comes in. With
`TEST_STOP_AT=point` in the environment it stops itself (SIGSTOP) at that fault point, as if it was cut off.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.operations import acknowledge, start
from tests.support.oracle import QUERIES
from tests.support.traffic import change
from vecrollback import Store

stopped = threading.Event()


@dataclass(frozen=True)
class Host:
    """`name`: what its searchers call themselves, and its sessions in the catalog's server."""

    name: str
    uri: str
    catalog: str
    folder: Path

    def run(self, *arguments: str, output: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        options: dict[str, Any] = {
            "VECROLLBACK_CATALOG": f"{self.catalog}&application_name={self.name}",
            "VECROLLBACK_CACHE": str(self.folder / f"cache-{self.name}"),
            "TEST_HOST": self.name,
            **environment,
        }
        return start(self.uri, *arguments, module="tests.support.store_hosts", output=output, **options)

    def done(self, *arguments: str, **environment: str) -> list[dict[str, Any]]:
        """What it said; raises when it failed."""
        output, errors = self.run(*arguments, **environment).communicate(timeout=120)
        if errors and "Traceback" in errors:
            raise AssertionError(errors)
        return [json.loads(line) for line in output.splitlines()]


def serve(store: Store) -> None:
    """Ask again and again, like callers that leave the machine room for others."""
    with store.searcher() as searcher:
        for text in itertools.cycle(QUERIES):
            if stopped.wait(0.03):
                return
            begun = time.monotonic()
            result = searcher.search(text, k=20)
            scores = {hit.id: round(hit.score, 6) for hit in result.hits}
            acknowledge(begun=begun, epoch=result.epoch, pair=result.pair, query=text, scores=scores)


def write(store: Store, name: str) -> None:
    """Upsert and delete own documents."""
    for number in itertools.count():
        if stopped.wait(0.15):
            return
        acknowledge(seq=change(store, name, number))


def build(store: Store, name: str, spec: str) -> None:
    acknowledge(ready=store.reembed(spec, name=name, index="Flat").wait().name)


def put(store: Store, id_: str, text: str) -> None:
    from vecrollback import Document

    acknowledge(seq=store.upsert([Document(id_, text)]).head)


def catch_up(store: Store, name: str) -> None:
    acknowledge(watermark=store.catch_up(name).watermark)


def rollback(store: Store, reason: str) -> None:
    moved = store.rollback(reason=reason)
    acknowledge(
        target=moved.target, trouble=moved.trouble, expected=moved.searchers.expected, told=moved.searchers.missing
    )


ROLES: dict[str, Callable[..., None]] = {role.__name__: role for role in (serve, write, build, put, catch_up, rollback)}


def _stop_at(point: str) -> None:
    """Stop this process the first time it passes the point.

    The name is replaced where it is defined, for modules that are imported later, and in those that have it already.
    """
    from vecrollback.storage import local

    waiting, original = [point], local.reach

    def reach(name: str) -> None:
        if name in waiting:
            waiting.clear()
            os.kill(os.getpid(), signal.SIGSTOP)

    original, local.reach = local.reach, reach  # for modules that are imported when they are first needed
    for module in list(sys.modules.values()):
        if getattr(module, "reach", None) is original:
            module.reach = reach  # type: ignore[attr-defined]


def main() -> None:
    uri, role, *arguments = sys.argv[1:]
    name = os.environ["TEST_HOST"]
    socket.gethostname = lambda: name
    import vecrollback

    threading.Thread(target=lambda: (sys.stdin.readline(), stopped.set()), daemon=True).start()
    with vecrollback.connect(uri) as store:
        if point := os.environ.get("TEST_STOP_AT"):
            _stop_at(point)
        ROLES[role](store, *arguments)


if __name__ == "__main__":
    main()
