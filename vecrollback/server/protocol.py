"""HTTP connections that cannot be held open for nothing: headers have a size and a time in which they have to come.

uvicorn bounds neither with httptools, its faster parser: one connection with an endless header took a worker's memory
and time. With h11 the size is bounded there, and the time here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:  # uvicorn does not bring it along
    HttpToolsProtocol = None  # type: ignore[assignment,misc]

HEADER_SECONDS = 10.0
"""From the first byte, or from the connection, to the end of the headers."""
HEADER_BYTES = 1 << 16


class _Timed:
    """Closes a connection whose headers do not come in time."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _timer: asyncio.TimerHandle | None = None

    def _await_headers(self) -> None:
        self._headers_came()
        self._timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _headers_came(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class TimedH11Protocol(_Timed, H11Protocol):
    """h11, whose parser bounds the size of the headers itself."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._headers_came()
        elif self._timer is None:  # the headers of a later request on the same connection have begun
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        super().connection_lost(exc)


if HttpToolsProtocol is not None:

    class BoundedHttpToolsProtocol(_Timed, HttpToolsProtocol):
        """httptools, with a bound for the size of the headers."""

        _header_bytes, _reads_headers = 0, True

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # Counted afterwards: the same block may hold the end of the headers and much of a body.
            if self._reads_headers:
                self._header_bytes += len(data)
                if self._header_bytes > HEADER_BYTES and not self.transport.is_closing():
                    self.send_400_response(f"The headers are larger than {HEADER_BYTES} bytes.")

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._header_bytes, self._reads_headers = 0, True
            self._await_headers()

        def on_headers_complete(self) -> None:
            self._reads_headers = False
            self._headers_came()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers_came()
            super().connection_lost(exc)


def bounded_protocol() -> type[asyncio.Protocol]:
    """The protocol of a server: over httptools where that is installed, else over h11."""
    return TimedH11Protocol if HttpToolsProtocol is None else BoundedHttpToolsProtocol
