"""Moves over HTTP: made while their caller is there, answered once they are made, proven afterwards.

A caller who got no answer asks again. So a move that waited and whose caller has left is not made, or the second
request would go back once more; and nothing that follows a move can keep its answer, or turn it into an error.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from fastapi import Request

from vecrollback.errors import FailedError, StoppedError, in_words
from vecrollback.records import Progress, ProgressCallback, SnapshotRef, Switched
from vecrollback.server.service import StoreService
from vecrollback.serving.thread_pools import ThreadPool

_log = logging.getLogger(__name__)
T = TypeVar("T")


class _Call:
    """Work that a caller waits for: begun while the caller is there, or never."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = self._left = False

    def run(self, work: Callable[[], T]) -> T:
        """On a thread. Raises StoppedError, with nothing done, for a caller who has left."""
        with self._lock:
            if self._left:
                raise StoppedError("its caller left while it waited: nothing was done", hint="ask again")
            self._begun = True
        return work()

    def leave(self) -> None:
        """The caller is gone. What was begun is not ended by it."""
        with self._lock:
            self._left = not self._begun


async def run_while_asked(request: Request, pool: ThreadPool, work: Callable[[], T]) -> T:
    """The result of the work; it is not begun if the caller has left by the time that a thread is free.

    Raises OverloadedError, StoppedError for a caller who has left, and what the work raises.
    """
    call = _Call()
    watching = asyncio.create_task(_note_leave(request, call))
    try:
        return await pool.run(call.run, work)
    finally:
        watching.cancel()


async def _note_leave(request: Request, call: _Call) -> None:
    # The body was read before the route was called: nothing else comes from this connection, or its end.
    while (await request.receive())["type"] != "http.disconnect":
        pass
    call.leave()


async def move_and_prove(
    request: Request, service: StoreService, kind: str, move: Callable[[], Switched], *, follow: bool, wait: bool
) -> tuple[Switched, str | None]:
    """Make a move that does not prove itself, and have it proven: as a job (`follow`), or before it is answered.

    Returns:
        The move, and the id of the job. That a proof could not begin stands in the move's `trouble`.
    """

    def begin() -> tuple[Switched, str | None]:
        outcome = move()
        return start_proof(service, kind, outcome) if follow and not wait else (outcome, None)

    outcome, job = await run_while_asked(request, service.moves, begin)
    return (await prove(service, outcome) if follow and wait else outcome), job


async def prove(service: StoreService, outcome: Switched) -> Switched:
    """Catch up and check what a move let serve, on a thread of its own: no other long work can keep it waiting."""
    loop = asyncio.get_running_loop()
    proof: asyncio.Future[Switched] = loop.create_future()

    def end(proven: Switched) -> None:
        if not proof.done():  # else nobody waits for it any more
            proof.set_result(proven)

    def run() -> None:
        try:
            proven = service.store.prove(outcome, service.progress())
        except Exception as error:
            proven = _unproven(outcome, error)
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(end, proven)

    threading.Thread(target=run, name="vecrollback-proof", daemon=True).start()
    return await proof


def start_proof(service: StoreService, kind: str, outcome: Switched) -> tuple[Switched, str | None]:
    """Start the job that catches up and checks what a move let serve; returns the move and the job's id.

    What goes wrong in it is in its `error`, and in the incident's `trouble`: the move was answered before.
    """
    pair = SnapshotRef.parse(outcome.target).pair

    def work(progress: ProgressCallback) -> Switched:
        stops: list[StoppedError] = []

        def report(state: Progress) -> None:
            try:
                progress(state)
            except StoppedError as error:
                stops.append(error)
                raise

        proof = service.store.prove(outcome, report)
        if stops:
            raise stops[0]  # so that the job counts as cancelled, not as failed
        if proof.trouble != outcome.trouble:
            raise FailedError(f"{proof.target} serves, but: {proof.trouble}", hint=f"`vecrollback check {pair}`")
        return proof

    try:
        return outcome, service.start(kind, pair, work).id
    except Exception as error:  # whatever it is: the move is made, and its caller must not take it for failed
        return _unproven(outcome, error), None


def _unproven(outcome: Switched, error: Exception) -> Switched:
    _log.error("%s serves, and its proof ended: %s", outcome.target, error)
    pair = SnapshotRef.parse(outcome.target).pair
    cure = f"`vecrollback catch-up {pair}`, then `vecrollback check {pair}`"
    said = f"it was not caught up and checked: {in_words(error)}; {cure}"
    return replace(outcome, trouble="; ".join(filter(None, (outcome.trouble, said))))
