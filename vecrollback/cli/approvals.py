"""List moves that wait for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.options import APPROVAL
from vecrollback.cli.support.session import Session, command
from vecrollback.cli.support.tables import Rows

app = typer.Typer(add_completion=False)


@command(app, returns=f"{{approvals: [{APPROVAL}]}}", examples=["approvals --waiting"])
def approvals(
    session: Session,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that wait.")] = False,
) -> None:
    """List the moves that wait, or waited, for approval.

    Newest first.
    """
    with session.store() as store:
        requests = store.approvals.all(state="waiting" if waiting else None)
    rows = [
        (
            a.number,
            a.state,
            a.kind,
            a.target or "last fit pair",
            f"{len(a.approved_by)}/{a.needed}",
            a.asked_by,
            a.reason,
        )
        for a in requests
    ]
    columns = ("request", "state", "move", "to", "approved", "asked by", "reason")
    listed = Rows(columns, rows, right=("request",)) if rows else "no move waits for approval"
    session.emit({"approvals": [asdict(one) for one in requests]}, lambda: [listed])
