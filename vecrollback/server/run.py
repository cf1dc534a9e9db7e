"""Running the server: one process, or several under uvicorn's supervisor, on one socket."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vecrollback.errors import MissingDependencyError, UsageError
from vecrollback.server.settings import ListenAddress, ServerSettings
from vecrollback.store.store import connect
from vecrollback.switching.policy import load_policy

if TYPE_CHECKING:
    from fastapi import FastAPI

_HUNG_SECONDS = 30
"""A worker that says nothing for this long is replaced. Freeing a large index may hold it up for seconds."""


_LOOK_SECONDS = 0.05


def require() -> None:
    """Raises MissingDependencyError unless the packages of the extra `server` are there."""
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "server")


def serve(
    store_uri: str | None,
    catalog: str | None,
    address: ListenAddress,
    settings: ServerSettings,
    *,
    workers: int,
    loading: Callable[[str], None],
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT, which let requests in flight end.

    `loading` gets the URL once the port is taken, `ready` once a worker has loaded its models and listens there.

    Raises UsageError for an address that others can reach while there is no token, or that is taken.
    """
    with connect(store_uri, catalog=catalog) as store:
        uri = store.uri
        load_policy(store.root, settings.policy)  # what it cannot mean is refused here, not by every worker
        if not address.loopback and not store.access.keys().open_any:
            raise UsageError(
                f"{address.host} can be reached from other machines, and there is no token",
                hint="make one first: `vecrollback token create --role admin`; or bind to 127.0.0.1",
            )
    with bound(address) as listening, tempfile.TemporaryDirectory(prefix="vecrollback-metrics-") as folder:
        url = f"http://{_host_in_url(address.host)}:{listening.getsockname()[1]}"
        loading(url)
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            with _call_when_it_listens(listening, partial(_ready, ready, url)):
                _run(partial(worker_app, uri, catalog, settings), settings, listening, workers)
        finally:
            os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)


@contextlib.contextmanager
def _call_when_it_listens(listening: socket.socket, call: Callable[[], None]) -> Iterator[None]:
    """Call `call` when a process listens on the socket: a worker does so once it can answer, and shares it with us."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            if listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                call()
                return

    thread = threading.Thread(target=look, name="vecrollback-listening", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _ready(ready: Callable[[str], None], url: str) -> None:
    tell_supervisor("READY=1")
    ready(url)


def tell_supervisor(state: str) -> None:
    """Tell systemd, where it started this process as `Type=notify`; its protocol is a datagram to a socket it names."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    address = "\0" + place[1:] if place.startswith("@") else place
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.sendto(state.encode(), address)
    except OSError as error:
        logging.getLogger(__name__).warning("systemd cannot be told %s: %s", state, error)


def _run(app: Callable[[], FastAPI], settings: ServerSettings, listening: socket.socket, workers: int) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from vecrollback.server.protocol import bounded_protocol

    config = uvicorn.Config(
        app,
        factory=True,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=bounded_protocol(),
        ws="none",
        timeout_graceful_shutdown=settings.drain_seconds,
        timeout_worker_healthcheck=_HUNG_SECONDS,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after an orderly shutdown; the process must not count as killed by it.
        signal.signal(number, lambda _number, _frame: None)
    # One worker runs in this process: a supervisor beside it would be a second process for nothing.
    if workers > 1:
        Multiprocess(config, sockets=[listening]).run()
    else:
        uvicorn.Server(config).run(sockets=[listening])


def worker_app(uri: str, catalog: str | None, settings: ServerSettings) -> FastAPI:
    """The application as each worker process makes its own."""
    from vecrollback.server.app import create_app

    logs_to_stderr()
    _end_with_parent()
    if settings.tracing:
        from vecrollback.server import tracing

        tracing.export()
    return create_app(uri, settings, catalog=catalog)


def _end_with_parent() -> None:
    """Let a worker go when its supervisor was killed: nobody else would tell it to."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="vecrollback-parent", daemon=True).start()


def bound(address: ListenAddress) -> socket.socket:
    """A socket that is bound to the address, not listening yet. Raises UsageError."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        # With the protocol named: asyncio sets TCP_NODELAY on no other socket, and every answer would wait 40 ms.
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(target)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {address.host}:{address.port}: {error.strerror or error}",
            hint="is something else there? --port 0 takes a free one",
        ) from error
    listening.set_inheritable(True)
    return listening


def _host_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record's message, and what came with it in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        entry = {"time": at, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        entry |= {"process": record.process} | {k: v for k, v in vars(record).items() if k not in _PLAIN}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def logs_to_stderr(level: int = logging.INFO) -> None:
    """Send everything that this process logs to stderr, replacing what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("vecrollback", "uvicorn"):
        logging.getLogger(name).setLevel(level)
