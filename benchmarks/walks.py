"""How many files and rooms does a document, a query or a rollback pass through?

A *file* is a module of `vecrollback` in which a function runs during the walk, on whatever thread; a *room* is its
first folder, or its own name where it stands at the top of the package. Running is what counts, so a facade counts when
its own code runs and not when it is only imported, a property of a record counts as any function does, and the methods
that `dataclass` makes do not, for they stand in no file. Every walk is made five times. The first time is not counted,
for it imports modules; a file counts when it is entered in each of the others, so that a thread which comes by once a
second adds nothing. The HTTP walks drive the application itself, without a socket: the handler's files are counted, a
client's are not.
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
from functools import partial
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from vecrollback import Document, Store, connect

_QUERY = "how long is green tea steeped"
_PAIRS = {"v1": "hash:64?seed=1", "v2": "hash:64?seed=2"}
_DOCUMENTS = 40
_TRIPS = 5


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
            threading.setprofile(None)

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
    trips: dict[str, list[list[str]]] = {}
    tracer = Tracer()

    def trip(walk: str, step: Callable[[], object]) -> None:
        with tracer.recording() as files:
            step()
        trips.setdefault(walk, []).append(list(files))

    with tracer.installed():
        with connect(root, create=True) as store:
            _build(store)
            for number in range(_TRIPS):
                trip("document: to the log", partial(_write, store, number))
                trip("document: catch-up", lambda: store.catch_up("v2"))
                trip("document: to the index", lambda: store.snapshot("v2", rebuild=True))
            for _ in range(_TRIPS):
                trip("rollback: library", lambda: store.rollback(reason="a walk", catch_up=False))
                store.promote("v2", reason="a walk", override=True)  # it was rolled back from
        for _ in range(_TRIPS):
            with connect(root) as store:
                trip("query: cold", partial(store.search, _QUERY))
                trip("query: warm", partial(store.search, _QUERY))
        asyncio.run(_http(root, tracer, trips))
    walks = {walk: _always(files) for walk, files in trips.items()}
    whole = chain(*(files for walk, files in walks.items() if walk.startswith("document")))
    return walks | {"document: whole way": list(dict.fromkeys(whole))}


def _always(trips: list[list[str]]) -> list[str]:
    """The files of every trip but the first, in the order of the last one."""
    counted = trips[1:]
    return [file for file in counted[-1] if all(file in trip for trip in counted)]


def rooms(files: list[str]) -> list[str]:
    """The rooms that these files stand in, in order."""
    return list(dict.fromkeys(file.partition(os.sep)[0].removesuffix(".py") for file in files))


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


async def _http(root: Path, tracer: Tracer, trips: dict[str, list[list[str]]]) -> None:
    import httpx

    from vecrollback.server import settings
    from vecrollback.server.app import create_app

    # Found by what it can do, for its name differs between the versions that are compared.
    allowed = next(kind for kind in vars(settings).values() if hasattr(kind, "loopback"))
    app = create_app(str(root), allowed.loopback())
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

            async def post(path: str, **body: Any) -> None:
                answer = await client.post(path, json=body)
                answer.raise_for_status()

            async def trip(walk: str, path: str, **body: Any) -> None:
                with tracer.recording() as files:
                    await post(path, **body)
                trips.setdefault(walk, []).append(list(files))

            async def settle() -> None:
                await asyncio.sleep(1)  # the searcher opens the pair to go back to, as it has long done in a real case
                await post("/v1/search", query=_QUERY)  # tokens are read once a second

            await settle()
            for _ in range(_TRIPS):
                await trip("query: warm HTTP", "/v1/search", query=_QUERY)
                await asyncio.sleep(0.2)  # what a thread does in the background is over by the next one
            for _ in range(_TRIPS):
                await settle()
                await trip("rollback: HTTP", "/v1/rollback", reason="a walk", catch_up=False)
                await post("/v1/promote", pair="v2", reason="a walk", override=True)


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
