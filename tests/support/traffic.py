"""Processes that keep a store busy: `python -m tests.support.traffic STORE ROLE [ARGUMENT]`, until a line comes in.

Times are of the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import vecrollback
from tests.support.operations import start
from tests.support.oracle import EVERYTHING, QUERIES
from vecrollback import Document, Store

stopped = threading.Event()


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def flip(store: Store, _: str) -> None:
    """Let `one` and `two` take turns."""
    for name in itertools.cycle(("two", "one")):
        if stopped.is_set():
            return
        moved = store.promote(name, reason="flip")
        say(epoch=moved.epoch, pair=name, at=time.monotonic())


def query(store: Store, kind: str) -> None:
    """Ask, with a searcher that follows the alias or through the store."""
    asked = store.searcher() if kind == "follow" else store
    for text in itertools.cycle(QUERIES):
        if stopped.wait(0.002):  # leaves the machine room for whoever moves the pointer
            break
        begun = time.monotonic()
        result = asked.search(text, k=EVERYTHING)
        scores = {hit.id: round(hit.score, 6) for hit in result.hits}
        say(begun=begun, epoch=result.epoch, pair=result.pair, query=text, scores=scores)
    if asked is not store:
        asked.close()


def write(store: Store, name: str) -> None:
    for number in itertools.count():
        if stopped.is_set():
            return
        say(seq=change(store, name, number))


def change(store: Store, name: str, number: int) -> int:
    """Upsert or delete own documents, one or two at a time; the seq."""
    ids = [f"{name}-{number % 23}", f"{name}-{number % 7}"]
    if number % 5 == 4:
        return store.delete(ids[:1]).head
    return store.upsert([Document(id_, f"note {number} of {id_}") for id_ in dict.fromkeys(ids)]).head


def purge(store: Store, _: str) -> None:
    """Rewrite the corpus without the deleted texts, again and again."""
    while not stopped.is_set():
        store.compact(purge=True)
        say(purged=time.monotonic())
        time.sleep(0.02)


def refresh(store: Store, name: str) -> None:
    """Catch a pair up, again and again."""
    while not stopped.is_set():
        done = store.catch_up(name)
        say(watermark=done.watermark, documents=done.documents)


Traffic = tuple[subprocess.Popen[str], Path]


def start_traffic(root: Path, role: str, argument: str = "") -> Traffic:
    """One of these processes, and the file that it writes to."""
    output = root.parent / f"{role}-{argument}"
    return start(str(root), role, argument, module="tests.support.traffic", output=output), output


def stop_traffic(*busy: Traffic) -> list[list[dict[str, Any]]]:
    """Ask them to end; what each said. A process that failed fails the test."""
    said = []
    for process, output in busy:
        errors = process.communicate("\n", timeout=60)[1]
        assert process.returncode == 0, errors
        said.append([json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()])
    return said


def main() -> None:
    root, role, argument = sys.argv[1:4]
    threading.Thread(target=lambda: (sys.stdin.readline(), stopped.set()), daemon=True).start()
    with vecrollback.connect(root) as store:
        {"flip": flip, "query": query, "write": write, "refresh": refresh, "purge": purge}[role](store, argument)


if __name__ == "__main__":
    main()
