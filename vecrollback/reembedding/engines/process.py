"""The worker process of the local engine: `python -m vecrollback.reembedding.engines.process DESCRIPTOR`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue

from vecrollback.embedders import Embedder
from vecrollback.reembedding.engines.base import EmbedderRecipe, Outcome, Unit, failed_unit, open_recipe, run_unit
from vecrollback.storage.machine import yield_to_others

_Inbox = SimpleQueue[EmbedderRecipe | Unit]


def main() -> None:
    """Answer units until the driver is gone."""
    connection = Connection(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver lets units end
    inbox: _Inbox = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    recipe = inbox.get()
    assert isinstance(recipe, EmbedderRecipe)
    if recipe.idle:
        yield_to_others()
    embedder: Embedder | None = None
    while True:
        unit = inbox.get()
        assert isinstance(unit, Unit)
        outcome: Outcome
        try:
            embedder = embedder or open_recipe(recipe)
            outcome = run_unit(embedder, unit)
        except Exception as error:
            outcome = failed_unit(unit.number, error)
        try:
            connection.send(outcome)
        except OSError:
            os._exit(0)


def _listen(connection: Connection, inbox: _Inbox) -> None:
    """Take what comes, also while a unit is worked on; end the process when nobody is at the other end."""
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)  # the model may be inside a long call


if __name__ == "__main__":
    main()
