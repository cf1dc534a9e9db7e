"""Refuse a move that waits."""

from __future__ import annotations

from dataclasses import asdict

import typer

from vecrollback.cli.support.options import APPROVAL, Number, Why
from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(app, returns=APPROVAL, examples=["reject 3 --reason 'the numbers were wrong'"])
def reject(session: Session, number: Number, reason: Why = "") -> None:
    """Reject a move that waits for approval."""
    with session.store() as store:
        rejected = store.reject(number, reason=reason)
    session.emit(asdict(rejected), lambda: [f"request {number} is rejected"])
