"""Running the server: on the standard streams of a process that the agent's program starts, or over HTTP."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from vecrollback.errors import UsageError
from vecrollback.integrations.mcp.callers import Callers, TokenGate
from vecrollback.integrations.mcp.tools import create_server
from vecrollback.store.store import Store

PATH = "/mcp"


def serve_stdio(store: Store, *, operator: bool = False) -> None:
    """Serve the program that started this process, until it closes its end.

    Nothing else may be printed to stdout meanwhile: it belongs to the protocol. Logs go to stderr.

    Args:
        store: The open store.
        operator: Add the tools that check and move pairs. The history names the store's actor.
    """
    _log_to_stderr()
    with store.searcher() as searcher:
        create_server(store, searcher, operator=operator).run("stdio")


def serve_http(
    store: Store,
    host: str = "127.0.0.1",
    port: int = 8090,
    *,
    operator: bool = False,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve over HTTP until SIGTERM or SIGINT.

    Once the store has had a token, every request needs one; `check`, `promote` and `rollback` need the role operator.

    Args:
        store: The open store.
        host: Where to listen. Others than loopback need a token first.
        port: 0 takes a free one.
        operator: Add the tools that check and move pairs.
        ready: Called with the URL once connections are accepted.

    Raises:
        UsageError: Other machines can reach the address and there is no token, or it is taken.
    """
    keys = store.access.keys()
    if not _is_loopback(host) and not keys.open_any:
        raise UsageError(
            f"{host} can be reached from other machines, and there is no token",
            hint="make one first: `vecrollback token create --role reader`; or bind to 127.0.0.1",
        )
    _log_to_stderr()
    callers = Callers(store, anonymous=not keys.ever)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after an orderly shutdown; the store is still to be closed then
        signal.signal(number, lambda _number, _frame: None)
    with _bound(host, port) as listening, store.searcher() as searcher:
        server = create_server(store, searcher, operator=operator, callers=callers)
        app = server.streamable_http_app(streamable_http_path=PATH, host=host)
        config = uvicorn.Config(TokenGate(app, callers), log_config=None, access_log=False, server_header=False)
        url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}{PATH}"
        _AnnouncedServer(config, lambda: ready(url)).run(sockets=[listening])


class _AnnouncedServer(uvicorn.Server):
    """Says when it has begun: from then on a signal ends it in order."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror}", hint="choose another --port"
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
