"""Serve AI agents by the Model Context Protocol."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)
_USUAL = (700, 10, 10)
"""Python's own thresholds of garbage collection, which the command line raises."""


@command(
    app,
    speaks_by_itself=True,
    returns="{url}, once it listens, with --http; else stdout belongs to the protocol",
    examples=["mcp", "mcp --operator", "mcp --http --port 8090"],
)
def mcp(
    session: Session,
    operator: Annotated[
        bool, typer.Option("--operator", help="Add tools that check, promote and roll back; a person is asked first.")
    ] = False,
    http: Annotated[bool, typer.Option("--http", help="Listen on a port instead of the standard streams.")] = False,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Others than loopback need a token first.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")] = 8090,
) -> None:
    """Serve AI agents by the Model Context Protocol.

    They search, read documents, and see status, comparisons and incidents. Over the standard streams it is started by
    the agent's program. Answers follow every move of the live pair at once.
    """
    from vecrollback.integrations.mcp import serve_http, serve_stdio

    gc.set_threshold(*_USUAL)
    with session.store() as store:
        if http:
            serve_http(
                store,
                host,
                port,
                operator=operator,
                ready=lambda url: session.emit({"url": url}, lambda: [f"serving agents at {url}"]),
            )
        else:
            serve_stdio(store, operator=operator)
