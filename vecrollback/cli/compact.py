"""Merge the small files of documents and vectors."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(app, returns="{purged}", examples=["compact --purge"])
def compact(
    session: Session,
    purge: Annotated[bool, typer.Option("--purge", help="Leave no byte of a deleted text in the store.")] = False,
) -> None:
    """Merge the small files of documents and vectors."""
    with session.store() as store:
        store.compact(purge=purge)
    line = "compacted; no deleted text is left in the store" if purge else "compacted"
    session.emit({"purged": purge}, lambda: [line])
