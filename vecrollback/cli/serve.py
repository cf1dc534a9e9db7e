"""Commands of the HTTP API: serve, token, audit."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import typer

from vecrollback.cli import render
from vecrollback.cli.session import Session, command, common

app = typer.Typer()
tokens = typer.Typer(callback=common, help="Say who may use the HTTP API, and how far.")
_PANEL = "Over HTTP"


@command(
    app,
    panel=_PANEL,
    returns="{url, workers}, when it listens",
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
    """Answer over HTTP until SIGTERM or Ctrl-C, which let requests in flight end. Logs go to stderr as JSON."""
    from vecrollback.server import run, settings, tracing

    run.require()
    if otel:
        tracing.require()
    address = run.ListenAddress(host, port)
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

    run.serve(session.uri, session.catalog, address, allowed, workers=workers, ready=ready)


@command(
    tokens,
    returns="{name, role, created_at, created_by, revoked_at, secret}",
    examples=["token create --role operator --name anna", "token create --role reader --json"],
)
def create(
    session: Session,
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="reader, writer, operator or admin; each includes those before.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The actor in the history. Default: made up.")
    ] = None,
) -> None:
    """Make a token. Its secret is printed this once; the store keeps only a digest."""
    with session.store() as store:
        token, secret = store.access.create(role, name, actor=store.actor)  # type: ignore[arg-type]
    session.emit({**asdict(token), "secret": secret}, lambda: [f"{token.name} ({token.role}), shown only now:", secret])


@command(tokens, "list", returns="{tokens: [{name, role, created_at, created_by, revoked_at}]}")
def list_(session: Session) -> None:
    """List the tokens, revoked ones too."""
    with session.store() as store:
        found = store.access.tokens()
    rows = [(t.name, t.role, t.created_at[:19], t.created_by, t.revoked_at and t.revoked_at[:19]) for t in found]
    columns = ("token", "role", "made (UTC)", "by", "revoked (UTC)")
    said = render.table(columns, rows) if rows else "no token yet: `vecrollback token create --role admin`"
    session.emit({"tokens": [asdict(token) for token in found]}, lambda: [said])


@command(tokens, returns="{name, role, created_at, created_by, revoked_at}", examples=["token revoke anna"])
def revoke(session: Session, name: Annotated[str, typer.Argument(help="The token's name.")]) -> None:
    """Revoke a token; running servers refuse it within a second."""
    with session.store() as store:
        token = store.access.revoke(name, actor=store.actor)
    session.emit(asdict(token), lambda: [f"{token.name} opens nothing any more"])


@command(app, panel=_PANEL, returns="{entries: [{number, at, actor, action, subject}]}", examples=["audit --limit 20"])
def audit(
    session: Session,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N.")] = None,
) -> None:
    """List what was changed over HTTP or about tokens, newest first; pointer moves are in `history`."""
    with session.store() as store:
        found = store.access.audit(limit)
    rows = [(entry.number, entry.at[:19], entry.actor, entry.action, entry.subject) for entry in found]
    said = render.table(("#", "at (UTC)", "by", "did", "what"), rows, right=("#",)) if rows else "nothing yet"
    session.emit({"entries": [asdict(entry) for entry in found]}, lambda: [said])
