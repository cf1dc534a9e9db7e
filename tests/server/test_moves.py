"""A move is made while its caller is there, and nothing that follows it makes it look as if it had failed.

Covers server.moves.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vecrollback import connect
from vecrollback.errors import CatalogUnavailableError, StoppedError
from vecrollback.server.moves import prove, run_while_asked, start_proof
from vecrollback.serving.thread_pools import ThreadPool


class Caller:
    """A request whose caller leaves when `left` is set."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self.left.wait()
        return {"type": "http.disconnect"}


def test_a_move_that_waited_longer_than_its_caller_is_not_made() -> None:
    made: list[str] = []

    async def run() -> None:
        pool, go_on = ThreadPool("moving", threads=1, waiting=4), threading.Event()
        first, gone, stays = (Caller() for _ in range(3))
        callers: list[tuple[Any, Any]] = [
            (first, lambda: (go_on.wait(30), made.append("first"))),
            (gone, lambda: made.append("gone")),
            (stays, lambda: made.append("stays")),
        ]
        moves = []
        for caller, work in callers:
            moves.append(asyncio.create_task(run_while_asked(caller, pool, work)))
            await asyncio.sleep(0.05)
        first.left.set()  # its move has begun, and ends
        gone.left.set()
        await asyncio.sleep(0.05)
        go_on.set()
        ends = await asyncio.gather(*moves, return_exceptions=True)
        assert [type(end) for end in ends] == [tuple, StoppedError, type(None)]
        pool.close()

    asyncio.run(run())
    assert made == ["first", "stays"]


def test_a_move_whose_proof_cannot_begin_is_told_as_made(own_store: Path) -> None:
    def refuse(*_: object) -> None:
        raise CatalogUnavailableError("the catalog is gone")

    with connect(own_store) as store:
        moved = store.rollback(reason="worse", catch_up=False)
    told, job = start_proof(SimpleNamespace(start=refuse), "rollback", moved)  # type: ignore[arg-type]
    assert (told.target, job) == ("v1@1", None)
    assert "the catalog is gone" in told.trouble
    assert "vecrollback catch-up v1" in told.trouble
    service = SimpleNamespace(store=SimpleNamespace(prove=refuse), progress=lambda: None)
    proven = asyncio.run(prove(service, moved))  # type: ignore[arg-type]
    assert proven.trouble == told.trouble
