"""Tell how rollbacks went."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.render_jobs import duration
from vecrollback.cli.support.session import Session, command

if TYPE_CHECKING:
    from vecrollback.switching.incidents.performance import Performance

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
        performance = store.incidents.performance(days=days)
    session.emit(asdict(performance), lambda: [render.facts(_facts(performance))])


def _facts(performance: Performance) -> dict[str, str]:
    """What people read: names in words, and "not known" where there is nothing to divide by."""
    incidents = ", ".join(map(str, performance.open_incidents))
    return {
        "since": f"{performance.since[:19]} UTC",
        "rollbacks": f"{performance.rollbacks:,}, {performance.succeeded:,} of them succeeded",
        "time to detect": f"{_mean(performance.mttd_seconds)} from the promote of a bad pair to its first sign",
        "time to recover": f"{_mean(performance.mttr_seconds)} from there to the last searcher that followed",
        "answers by bad pairs": f"{performance.answers_by_bad_pairs:,}",
        "drills": f"{performance.drills:,}, {performance.drills_passed:,} of them passed; last: {_when(performance)}",
        "promotes": f"{performance.promotes:,}, {_share(performance.drilled_rate)} of them rehearsed by a drill",
        "open incidents": incidents or "none",
    }


def _mean(seconds: float | None) -> str:
    return "not known:" if seconds is None else f"{duration(seconds)} on average,"


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.0%}"


def _when(performance: Performance) -> str:
    return f"{performance.last_drill[:19]} UTC" if performance.last_drill else "never"
