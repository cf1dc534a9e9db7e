"""Repair what a check found."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.options import PairArgument, exit_by
from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{before: report, after: report|null}, each as check prints it; null when nothing was repaired",
    examples=["repair v1 --dry-run", "repair v1", "repair v1 --found --mask"],
)
def repair(
    session: Session,
    pair: PairArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be repaired; change nothing.")] = False,
    found: Annotated[
        bool, typer.Option("--found", help="Repair what the newest kept report found, such as an audit.")
    ] = False,
    mask: Annotated[
        bool, typer.Option("--mask/--keep", help="Meanwhile answer without foreign vectors, or still with them.")
    ] = False,
) -> None:
    """Embed again what a check found wrong, and check again.

    Everything else in the pair stays as it is, and goes on serving.
    """
    with session.store() as store, session.watch() as watch:
        before = (store.report(pair or store.live()) if found else None) or store.check(pair)
        wrong = before.verdict != "pass" or before.ids("bridged_vector")
        after = None if dry_run or not wrong else store.repair(before, mask=mask, progress=watch)
    payload = {"before": payloads.report(before), "after": payloads.report(after) if after else None}
    session.emit(payload, lambda: render.repaired(before, after))
    exit_by(after or before)
