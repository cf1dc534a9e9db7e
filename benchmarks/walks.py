"""How many files and rooms does a document, a query or a rollback pass through?

A *file* is a module of `vecrollback` in which a function runs during the walk, on whatever thread; a *room* is its
first folder, or its own name where it stands at the top of the package. Running is what counts, so a facade counts when
its own code runs and not when it is only imported, a property of a record counts as any function does, and the methods
that `dataclass` makes do not, for they stand in no file. Every walk is made twice and traced the second time, so that
nothing is counted that only importing a module does. The HTTP walks drive the application itself, without a socket:
the handler's files are counted, a client's are not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from vecrollback import Document, Store, connect

_QUERY = "how long is green tea steeped"
_PAIRS = {"v1": "hash:64?seed=1", "v2": "hash:64?seed=2"}
_DOCUMENTS = 40


class Tracer:
    """Notes which files of the package run while it records; set for every thread that starts after it."""

    def __init__(self) -> None:
        import vecrollback

        self._root = str(Path(vecrollback.__file__).parent) + os.sep
        self._files: dict[str, None] = {}
        self._recording = False

    @contextmanager
    def installed(self) -> Iterator[Tracer]:
        """Follow the threads that start in here, and the one that calls."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield self
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # None takes it off

    @contextmanager
    def recording(self) -> Iterator[dict[str, None]]:
        """The files entered in here, in the order of their first entry; complete when it ends."""
        self._files, self._recording = {}, True
        try:
            yield self._files
        finally:
            self._recording = False

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if self._recording and event == "call" and frame.f_code.co_filename.startswith(self._root):
            self._files.setdefault(frame.f_code.co_filename[len(self._root) :])


def measure(root: Path) -> dict[str, list[str]]:
    """Walk -> the files it enters, in order. `root`: an empty folder for the store."""
    walks: dict[str, list[str]] = {}
    tracer = Tracer()

    def walk(name: str, *steps: Callable[[], object]) -> None:
        for step in steps:
            with tracer.recording() as files:
                step()
        walks[name] = list(files)

    with tracer.installed():
        with connect(root, create=True) as store:
            _build(store)
            walk("document: to the log", *(lambda n=n: _write(store, n) for n in range(2)))
            walk("document: catch-up", *(lambda n=n: (_write(store, n), store.catch_up("v2")) for n in range(2, 4)))
            _write(store, 5)
            walk("document: to the index", *[lambda: _index(store)] * 2)
            walks["document: whole way"] = list(dict.fromkeys(_whole(walks)))
            walk("rollback: library", *(lambda to=to: _rollback(store, to) for to in ("v1", "v2")))
        for _ in range(2):
            with connect(root) as store:
                walk("query: cold", lambda store=store: store.search(_QUERY))
                walk("query: warm", *[lambda store=store: store.search(_QUERY)] * 2)
        asyncio.run(_http(root, tracer, walks))
    return walks


def rooms(files: list[str]) -> list[str]:
    """The rooms that these files stand in, in order."""
    return list(dict.fromkeys(file.partition(os.sep)[0].removesuffix(".py") for file in files))


def _whole(walks: dict[str, list[str]]) -> Iterator[str]:
    for part in ("to the log", "catch-up", "to the index"):
        yield from walks[f"document: {part}"]


def _build(store: Store) -> None:
    """Two pairs that have both served."""
    store.upsert(
        Document(f"d{n}", f"Green tea, kind {n}, is steeped {n} minutes.", {"n": n}) for n in range(_DOCUMENTS)
    )
    for name, embedder in _PAIRS.items():
        store.reembed(embedder, name=name).wait()
        store.promote(name, reason="a walk")


def _write(store: Store, number: int) -> None:
    store.upsert([Document(f"new-{number}", f"A new text, number {number}.", {"n": number})])


def _index(store: Store) -> None:
    store.snapshot("v2", rebuild=True)


def _rollback(store: Store, to: str) -> None:
    store.rollback(to, reason="a walk", catch_up=False, override=True)


async def _http(root: Path, tracer: Tracer, walks: dict[str, list[str]]) -> None:
    import httpx

    from vecrollback.server import settings
    from vecrollback.server.app import create_app

    # Found by what it can do, for its name differs between the versions that are compared.
    allowed = next(kind for kind in vars(settings).values() if hasattr(kind, "loopback"))
    app = create_app(str(root), allowed.loopback())
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

            async def post(name: str, path: str, *bodies: dict[str, Any]) -> None:
                for body in bodies:
                    with tracer.recording() as files:
                        answer = await client.post(path, json=body)
                    answer.raise_for_status()
                walks[name] = list(files)

            await post("query: warm HTTP", "/v1/search", *[{"query": _QUERY}] * 3)
            back = {"reason": "a walk", "override": True, "catch_up": False}
            await post("rollback: HTTP", "/v1/rollback", *({**back, "to": to} for to in ("v1", "v2", "v1")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", metavar="WALK", help="print the files of the walks whose name has this in it")
    parser.add_argument("--small", action="store_true", help="as without it: one walk is one walk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vecrollback-walks-") as folder:
        walks = measure(Path(folder) / "store")
    if options.list is not None:
        for name, files in walks.items():
            if options.list in name:
                print(f"{name}:", *files, sep="\n  ")
    for name, files in walks.items():
        print(f"{name:24} {len(files):3} files {len(rooms(files)):3} rooms")
    print(
        json.dumps(
            {"benchmark": "walks", "small": options.small}
            | {name: {"files": len(files), "rooms": len(rooms(files))} for name, files in walks.items()}
        )
    )


if __name__ == "__main__":
    main()
