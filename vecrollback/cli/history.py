"""List what was live."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{moves: [{number, alias, epoch, kind, from, to, reason, actor, at, previous_hash, hash}]}",
    examples=["history --limit 5"],
)
def history(
    session: Session,
    alias: Annotated[str | None, typer.Option(metavar="NAME", help="Only this alias, live for example.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N.")] = None,
) -> None:
    """List the moves of the live pointer: when, where, who and why.

    Newest first.
    """
    with session.store() as store:
        moves = store.history(alias=alias, limit=limit)
    session.emit(payloads.moves(moves), lambda: [render.history(moves)] if moves else ["nothing has moved yet"])
