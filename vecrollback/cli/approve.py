"""Agree to a move that waits."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.moves import STOPPED, finish
from vecrollback.cli.support.options import APPROVAL, Number, Why
from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns=f"{{approval: {APPROVAL}, switched}}; switched as rollback prints it, null while more people are needed",
    examples=["approve 3"],
)
def approve(
    session: Session,
    number: Number,
    reason: Why = "",
    no_catch_up: Annotated[bool, typer.Option("--no-catch-up", help="Only switch.")] = False,
) -> None:
    """Approve a move that waits; the last approval needed makes it."""
    with session.store() as store, session.watch(finish=True, cure=STOPPED) as watch:
        decision = store.approve(number, reason=reason, catch_up=not no_catch_up, progress=watch)
    request, switched = decision.approval, decision.switched
    payload = {"approval": asdict(request), "switched": payloads.switched(switched) if switched else None}
    missing = counted(request.needed - len(request.approved_by), "more approval", "more approvals")
    session.emit(payload, lambda: render.switched(switched) if switched else [f"request {number} needs {missing}"])
    if switched is not None:
        finish(switched)
