"""Serve over HTTP."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Annotated

import typer

from vecrollback.cli.support.output import print_text
from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)
_USUAL = (700, 10, 10)
"""Python's own thresholds of garbage collection, which the command line raises."""


@command(
    app,
    speaks_by_itself=True,
    returns="{url, workers}, once it listens: the models are loaded by then",
    examples=["serve", "serve --host 0.0.0.0 --workers 4", "serve --port 0 --json"],
)
def serve(
    session: Session,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Others than loopback need a token first.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes; each holds its own models.")] = 1,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Batches of queries a process runs at once.")] = 4,
    max_body: Annotated[int, typer.Option(min=1024, metavar="BYTES", help="Largest body of a request.")] = 8 << 20,
    max_k: Annotated[int, typer.Option(min=1, metavar="N", help="Most hits of a query.")] = 1000,
    max_batch: Annotated[int, typer.Option(min=1, metavar="N", help="Most queries of one call.")] = 128,
    max_waiting: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most queries that wait, in each process; more get 429.")
    ] = 512,
    drain: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How long requests may take to end.")] = 30,
    log_reads: Annotated[bool, typer.Option("--log-reads", help="Log queries that went well, too.")] = False,
    policy: Annotated[
        str | None, typer.Option(metavar="FILE", help="Watch by this policy. Default: [policy] in vecrollback.toml.")
    ] = None,
    otel: Annotated[bool, typer.Option("--otel", help="Send OpenTelemetry spans; set up by OTEL_* variables.")] = False,
) -> None:
    """Answer over HTTP: search, moves, metrics and a dashboard.

    Runs until SIGTERM or Ctrl-C; requests in flight are answered first. Logs go to stderr as JSON.
    """
    from vecrollback.server import run, settings, tracing

    gc.set_threshold(*_USUAL)  # a server makes garbage for weeks, and no query is to wait for much of it at once
    run.require()
    if otel:
        tracing.require()
    address = settings.ListenAddress(host, port)
    base = settings.ServerSettings.loopback() if address.loopback else settings.ServerSettings()
    allowed = replace(
        base,
        threads=threads,
        max_body=max_body,
        max_k=max_k,
        max_batch=max_batch,
        max_waiting=max_waiting,
        drain_seconds=drain,
        tracing=otel,
        log_reads=log_reads,
        policy=policy,
    )

    def ready(url: str) -> None:
        session.emit({"url": url, "workers": workers}, lambda: [f"serving at {url}"])

    def loading(url: str) -> None:
        if not session.as_json:  # programs wait for the one document
            print_text([f"loading the models; it will serve at {url}"])

    run.serve(session.uri, session.catalog, address, allowed, workers=workers, loading=loading, ready=ready)
