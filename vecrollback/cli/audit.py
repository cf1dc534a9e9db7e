"""List what was done over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.cli.support.tables import Rows, when

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{entries: [{number, at, actor, action, subject}]}",
    examples=["audit --limit 20", "audit --action token --since 2026-01-31"],
)
def audit(
    session: Session,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N.")] = None,
    by: Annotated[str | None, typer.Option(metavar="WHO", help="Only what this person or program did.")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="WHAT", help="Only actions that begin so, such as `token`.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what was done since: 7d, or ISO 8601.")
    ] = None,
) -> None:
    """List what was changed over HTTP, and every change of a token.

    Newest first. Moves of the live pointer are in `history`.
    """
    with session.store() as store:
        entries = store.access.audit(limit, actor=by, action=action, since=since)
    rows = [(entry.number, when(entry.at), entry.actor, entry.action, entry.subject) for entry in entries]
    listed = Rows(("#", "when", "by", "what", "subject"), rows, right=("#",)) if rows else "nothing yet"
    session.emit({"entries": [asdict(entry) for entry in entries]}, lambda: [listed])
