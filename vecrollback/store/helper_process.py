"""What a helper does: it calls methods of its own store for the process that started it."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from operator import attrgetter
from queue import SimpleQueue
from typing import TYPE_CHECKING

from vecrollback.errors import StoppedError
from vecrollback.records import Progress
from vecrollback.storage.machine import yield_unless_starved
from vecrollback.store.helper import IDLE_SECONDS, Call, CallEnd, CallProgress, GoAhead, LogLine, picklable

if TYPE_CHECKING:
    from vecrollback.store.store import Store

_log = logging.getLogger(__name__)


def help_over(descriptor: int, connect: Callable[[], AbstractContextManager[Store]]) -> None:
    """Do what comes over this connection until nobody is at the other end, or nothing came for a while."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: who started this one decides
    yield_unless_starved()
    connection = Connection(descriptor)
    try:
        with connect() as store:
            _Helping(connection, store).run()
    except (EOFError, OSError):
        pass
    os._exit(0)  # a model may be inside a long call


class _Helping(logging.Handler):
    """The calls that are under way, each on a thread of its own. What they log is told like their progress."""

    def __init__(self, connection: Connection, store: Store) -> None:
        super().__init__(logging.INFO)
        self._connection, self._store = connection, store
        self._sending = threading.Lock()
        self._go_aheads: dict[int, SimpleQueue[GoAhead]] = {}
        logger = logging.getLogger("vecrollback")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        logger.propagate = False

    def run(self) -> None:
        """Take what comes. Raises EOFError when the other end is gone."""
        while self._connection.poll(IDLE_SECONDS) or self._go_aheads:
            if not self._connection.poll():
                continue
            message = self._connection.recv()
            if isinstance(message, GoAhead):
                if waiting := self._go_aheads.get(message.number):  # else it was for a helper that is gone
                    waiting.put(message)
            else:
                self._go_aheads[message.number] = SimpleQueue()
                threading.Thread(target=self._work, args=(message,), daemon=True).start()

    def _work(self, call: Call) -> None:
        options = dict(call.options)
        if call.reports:
            options["progress"] = self._reporter(call.number)
        try:
            end = CallEnd(call.number, attrgetter(call.method)(self._store)(*call.arguments, **options))
        except Exception as error:  # whatever it is, whoever waits must get it
            _log.info("%s: %s", call.method, error)
            end = CallEnd(call.number, error=picklable(error))
        try:
            self._send(end)
        except Exception as error:  # a result of a kind that cannot be pickled
            self._send(CallEnd(call.number, error=picklable(error)))
        del self._go_aheads[call.number]

    def _reporter(self, number: int) -> Callable[[Progress], None]:
        go_aheads = self._go_aheads[number]

        def report(progress: Progress) -> None:
            self._send(CallProgress(number, progress))
            if go_aheads.get().stop:
                raise StoppedError("its caller stopped it", hint="the same again goes on where it stopped")

        return report

    def emit(self, record: logging.LogRecord) -> None:
        """Let it stand in the log of the other process."""
        self._send(LogLine(record.name, record.levelno, record.getMessage()))

    def _send(self, message: CallProgress | CallEnd | LogLine) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            os._exit(0)  # nobody listens
