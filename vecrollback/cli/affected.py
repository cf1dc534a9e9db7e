"""Tell what a pair answered."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command
from vecrollback.cli.support.tables import Rows
from vecrollback.records import Affected

app = typer.Typer(add_completion=False)
_TERM = "{first_epoch, last_epoch, began, ended, answers, searchers, first_answer, last_answer}"


@command(
    app,
    returns=f"{{pair, since, answers, terms: [{_TERM}], canary_answers, incidents, outdated, not_recorded}}",
    examples=["affected --pair v2", "affected --pair v2 --since 2026-01-31T12:00"],
)
def affected(
    session: Session,
    pair: Annotated[str, typer.Option("--pair", metavar="PAIR", help="The pair whose answers are in doubt.")],
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Only while it served since: 7d, or ISO 8601, UTC."),
    ] = None,
) -> None:
    """List what a bad pair answered: when, how much, which incidents.

    As far as it is recorded; what is not recorded is said, too.
    """
    with session.store() as store:
        found = store.incidents.affected(pair, since=since)
    session.emit({**asdict(found), "answers": found.answers}, lambda: _lines(found))


def _lines(found: Affected) -> list[str | Rows]:
    total = f"{found.pair} gave {counted(found.answers, 'answer')}, {found.canary_answers:,} of them as a canary"
    rows = [
        (
            f"{one.first_epoch}-{one.last_epoch}",
            one.began[:19],
            (one.ended or "still")[:19],
            f"{one.answers:,}",
            f"{one.searchers:,}",
        )
        for one in found.terms
    ]
    head = ("epochs", "live from (UTC)", "until", "answers", "searchers")
    lines: list[str | Rows] = [total]
    lines.append(Rows(head, rows, right=("answers", "searchers")) if rows else "it was not live then")
    if found.incidents:
        lines.append(f"incidents: {', '.join(map(str, found.incidents))}")
    if found.outdated:
        lines.append(f"answered with outdated vectors: {counted(len(found.outdated), 'document')}")
    return [*lines, *(f"not recorded: {what}" for what in found.not_recorded)]
