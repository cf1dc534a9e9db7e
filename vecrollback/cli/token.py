"""The group `token`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command, common
from vecrollback.cli.support.tables import Rows, when
from vecrollback.records import Token

app = typer.Typer(callback=common, help="Create, list and revoke the tokens of the HTTP API.")


@command(
    app,
    returns="{name, role, created_at, created_by, revoked_at, expires_at, last_used_at, secret}",
    examples=["token create --role operator --name anna", "token create --role reader --expires 90d --json"],
)
def create(
    session: Session,
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="reader, writer, operator or admin; each includes those before.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The name that the history shows. Default: a new one.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it ends: 90d, 12h, or ISO 8601. Default: when it is revoked."),
    ] = None,
) -> None:
    """Create a token. Its secret is printed only now; the store keeps a digest of it."""
    with session.store() as store:
        token, secret = store.access.create(role, name, actor=store.actor, expires=expires)  # type: ignore[arg-type]
    end = f", until {token.expires_at[:19]}" if token.expires_at else ""
    session.emit(
        {**asdict(token), "secret": secret},
        lambda: [f"token {token.name}, role {token.role}{end}; its secret is shown only now:", secret],
    )


@command(app, "list", returns="{tokens: [{name, role, created_at, created_by, revoked_at, expires_at, last_used_at}]}")
def list_(session: Session) -> None:
    """List the tokens, revoked ones too."""
    with session.store() as store:
        listed = store.access.tokens()
    rows = [(t.name, t.role, when(t.created_at), t.created_by, *map(when, _times(t))) for t in listed]
    columns = ("token", "role", "made", "by", "expires", "last used", "revoked")
    shown = Rows(columns, rows) if rows else "no token yet: `vecrollback token create --role admin`"
    session.emit({"tokens": [asdict(token) for token in listed]}, lambda: [shown])


def _times(token: Token) -> tuple[str | None, str | None, str | None]:
    return token.expires_at, token.last_used_at, token.revoked_at


@command(
    app,
    returns="{name, role, created_at, created_by, revoked_at, expires_at, last_used_at}",
    examples=["token revoke anna"],
)
def revoke(session: Session, name: Annotated[str, typer.Argument(help="The token's name.")]) -> None:
    """Revoke a token; running servers refuse it within a second."""
    with session.store() as store:
        token = store.access.revoke(name, actor=store.actor)
    session.emit(asdict(token), lambda: [f"token {token.name} is revoked"])
