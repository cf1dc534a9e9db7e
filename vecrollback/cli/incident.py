"""The group `incident`: the record of each rollback."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli.support.output import write_file
from vecrollback.cli.support.session import Session, command, common
from vecrollback.cli.support.tables import Rows, when

app = typer.Typer(callback=common, help="List, show, export and close the records of rollbacks.")
_INCIDENT = (
    "{number, state, alias, epoch, kind, source, target, reason, actor, timeline: {began, detected, decided, switched, "
    "acknowledged, caught_up, verified}, blast: {pair, first_epoch, last_epoch, answers, searchers, since, until, "
    "canary_answers}, searchers, switch_ms, lag, verdict, findings, failed_findings, post_check, trigger, "
    "archived, trouble, notes, nature}"
)
Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The incident's number.")]


@command(app, "list", returns=f"{{incidents: [{_INCIDENT}]}}", examples=["incident list", "incident list --open"])
def list_(
    session: Session,
    only_open: Annotated[bool, typer.Option("--open", help="Only incidents that are open.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N.")] = None,
) -> None:
    """List incidents, newest first."""
    with session.store() as store:
        incidents = store.incidents.all(state="open" if only_open else None, limit=limit)
    rows = [
        (
            one.number,
            one.state,
            when(one.timeline.switched),
            one.source,
            one.target,
            one.blast.answers,
            one.verdict,
            one.reason,
        )
        for one in incidents
    ]
    columns = ("incident", "state", "when", "from", "to", "answers", "check", "reason")
    listed = Rows(columns, rows, right=("incident", "answers")) if rows else "no incident yet"
    session.emit({"incidents": [asdict(one) for one in incidents]}, lambda: [listed])


@command(app, returns=_INCIDENT, examples=["incident show 1"])
def show(session: Session, number: Number) -> None:
    """Show one incident: timeline, trigger, blast radius, proof."""
    with session.store() as store:
        incident, paper = store.incidents.get(number), store.incidents.paper(number)
    session.emit(asdict(incident), lambda: [paper])


@command(app, returns="{path, incident}", examples=["incident export 1 incident-1.md"])
def export(
    session: Session,
    number: Number,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Must not exist yet.")],
) -> None:
    """Write an incident as Markdown, with blanks for what only people know."""
    with session.store() as store:
        paper = store.incidents.paper(number)
    write_file(path, paper, new=True)
    session.emit({"path": str(path), "incident": number}, lambda: [f"wrote {path}"])


@command(app, returns=_INCIDENT, examples=["incident close 1 --cause 'prompts were missing'"])
def close(
    session: Session,
    number: Number,
    cause: Annotated[str, typer.Option("--cause", metavar="TEXT", help="What it was; required.")] = "",
    detected: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When the first sign was seen: 30m ago, or ISO 8601, UTC."),
    ] = None,
    false_alarm: Annotated[
        bool, typer.Option("--false-alarm", help="The pair that was left had answered well.")
    ] = False,
) -> None:
    """Close an incident with its cause. The failed snapshot stays until `vecrollback snapshot untag`."""
    with session.store() as store:
        closed = store.incidents.close(
            number, cause=cause, actor=store.actor, detected=detected, nature="false_alarm" if false_alarm else None
        )
    session.emit(asdict(closed), lambda: [f"incident {number} is closed: {cause}"])


@command(
    app,
    "add-golden",
    returns="{id, text, expected, tags, created_at, created_by}",
    examples=["incident add-golden 1 --query 'how is espresso brewed' --expect coffee"],
)
def add_golden(
    session: Session,
    number: Number,
    query: Annotated[str, typer.Option("--query", metavar="TEXT", help="A query that was answered badly.")],
    expect: Annotated[
        list[str], typer.Option("--expect", metavar="ID", help="A document that answers it; may be repeated.")
    ],
) -> None:
    """Make a query that failed a golden one, so that the next promote is measured by it."""
    with session.store() as store:
        store.incidents.get(number)
        kept = store.golden.add(query, expect, tags=[f"incident-{number}"])
    session.emit(asdict(kept), lambda: [f"golden query {kept.id}, tagged incident-{number}"])
