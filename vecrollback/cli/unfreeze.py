"""Let automation act again."""

from __future__ import annotations

import typer

from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(app, returns="{was_frozen}")
def unfreeze(session: Session) -> None:
    """Let automation move what is live again."""
    with session.store() as store:
        was_frozen = store.freezes.unfreeze(actor=store.actor)
    session.emit(
        {"was_frozen": was_frozen}, lambda: ["automation may act again" if was_frozen else "automation was not frozen"]
    )
