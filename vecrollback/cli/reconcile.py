"""Mend a catalog that went back in time."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)
_NOTHING = "the catalog lacks nothing that was seen"


@command(
    app,
    returns="{setback, replayed: [{number, alias, epoch, kind, from, to, reason, actor, at, previous_hash, hash}], "
    "anew: [{number, alias, epoch, kind, from, to, reason, actor, at, previous_hash, hash}], changes, lost_changes}",
    examples=["reconcile --dry-run", "reconcile"],
)
def reconcile(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what the catalog lacks.")] = False,
) -> None:
    """Mend a catalog that went back in time.

    An older catalog was put back, or a standby of the database took over without the last transactions. Moves and
    writes are refused then. If the newer catalog still exists, put that one back. Else this takes back what the store's
    files know: changes and deletes from the log's table, moves from their marks. It says what is lost.
    """
    with session.store() as store:
        if dry_run:
            setback = str(store.setback() or "")
            session.emit({"setback": setback}, lambda: [setback or _NOTHING])
            return
        mended = store.reconcile()
    session.emit(payloads.reconciled(mended), lambda: render.reconciled(mended) if mended else [_NOTHING])
