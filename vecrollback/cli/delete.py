"""Delete documents."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.output import counted, note
from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(app, returns="{seq, ids, unknown}", examples=["delete doc-17 doc-18"])
def delete(session: Session, ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of documents.")]) -> None:
    """Delete documents: no pair and no snapshot returns them again."""
    with session.store() as store:
        known = store.get(ids)
        seq = store.delete(ids).head
    unknown = [id_ for id_ in ids if id_ not in known]
    if unknown:
        note(f"not in the corpus: {', '.join(unknown)}")
    session.emit(
        {"seq": seq, "ids": ids, "unknown": unknown},
        lambda: [f"{counted(len(known), 'document')} deleted; newest change {seq:,}"],
    )
