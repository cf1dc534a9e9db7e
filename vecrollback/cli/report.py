"""Tell how rollbacks went."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{since, rollbacks, succeeded, success_rate, mttd_seconds, mttr_seconds, answers_by_bad_pairs, drills, "
    "drills_passed, drill_rate, promotes, drilled_rate, last_drill, open_incidents}; null where nothing is known",
    examples=["report", "report --days 365 --json"],
)
def report(
    session: Session,
    days: Annotated[float, typer.Option(min=0, metavar="N", help="How far back.")] = 30,
) -> None:
    """Sum up how fast problems were found and undone.

    Covers time to detect, time to recover, rollbacks that succeeded, and drills.
    """
    with session.store() as store:
        found = asdict(store.incidents.performance(days=days))
    session.emit(found, lambda: [render.facts(found)])
