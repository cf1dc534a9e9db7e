"""The application: routes, what stands before them, and what a worker opens and closes."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import FrameType

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from vecrollback.server import errors
from vecrollback.server.middleware import RequestGuard
from vecrollback.server.routes import (
    dashboard,
    documents,
    drills,
    forecasts,
    golden,
    health,
    incidents,
    inspect,
    jobs,
    search,
    snapshots,
    switching,
    tokens,
    trials,
    upkeep,
)
from vecrollback.server.service import StoreService
from vecrollback.server.settings import ServerSettings

_ROUTES = (
    search,
    documents,
    switching,
    upkeep,
    trials,
    snapshots,
    golden,
    drills,
    forecasts,
    inspect,
    jobs,
    incidents,
    tokens,
    health,
    dashboard,
)


def create_app(
    store_uri: str | None = None, settings: ServerSettings | None = None, *, catalog: str | None = None
) -> FastAPI:
    """The HTTP API of one store, for any ASGI server. Without settings every request needs a token."""
    limits = settings or ServerSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = await run_in_threadpool(StoreService.open, store_uri, catalog, limits)
        service.store.on_move(service.metrics.switched)  # whoever orders it: a route, the policy, an approval
        _close_on_signal(service)
        gc.collect()
        gc.freeze()  # models and libraries are a million objects that stay: no query shall wait while they are counted
        following = asyncio.create_task(service.follow_lag())
        yield
        following.cancel()
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="vecrollback",
        version=version("vecrollback"),
        summary="Searches a vector system, writes its documents, and moves it between embedding models and back.",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        # Newer versions make spans of their own, and record bodies that do not validate; see `tracing` for ours.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    for module in _ROUTES:
        app.include_router(module.router)
    errors.install(app)
    if limits.tracing:
        from vecrollback.server.tracing import Spans

        app.add_middleware(Spans)
    app.add_middleware(RequestGuard, settings=limits)
    return app


def _close_on_signal(service: StoreService) -> None:
    """Note SIGTERM and SIGINT: uvicorn tells the application only when all streams have ended, which wait for this."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        _before(number, service)


def _before(number: signal.Signals, service: StoreService) -> None:
    previous = signal.getsignal(number)

    def hear(got: int, frame: FrameType | None) -> None:
        service.closing = True
        if callable(previous):
            previous(got, frame)

    if callable(previous):
        signal.signal(number, hear)
