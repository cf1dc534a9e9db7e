"""Rehearse a rollback."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.cli.support.tables import Rows, when
from vecrollback.records import Drill

app = typer.Typer(add_completion=False)
_DRILL = (
    "{number, chaos, epoch, source, target, verdict: pass|fail|unknown, phases: [{name, seconds, ok, said, limit}], "
    "said, actor, at, seconds}"
)


@command(
    app,
    returns=f"{_DRILL}; with --list {{drills: [...]}}",
    examples=["drill", "drill --chaos searcher-hung", "drill --list"],
)
def drill(
    session: Session,
    chaos: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="Break this in a copy: files-gone, model-unloadable, catalog-slow, searcher-hung, foreign-vectors, "
            "disk-full, bad-pair (would the policy have noticed it?).",
        ),
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="List the drills so far.")] = False,
) -> None:
    """Rehearse a whole rollback beside what serves.

    Real processes query a scratch alias of the same files while it moves. With --chaos, something is broken in a copy
    of the store. Exit code 1 unless the drill passes.
    """
    if listed:
        _list(session)
        return
    with session.store() as store:
        rehearsal = store.drill(chaos)
    head = (
        f"drill {rehearsal.number}{f' with {chaos}' if chaos else ''}: {rehearsal.verdict}. {rehearsal.said}".rstrip()
    )
    session.emit(asdict(rehearsal), lambda: [head, _phases(rehearsal)])
    if rehearsal.verdict != "pass":
        raise typer.Exit(1)


def _phases(rehearsal: Drill) -> Rows:
    rows = [
        (one.name, f"{one.seconds:.3f}", one.limit and f"{one.limit:g}", "ok" if one.ok else "NOT OK", one.said)
        for one in rehearsal.phases
    ]
    return Rows(("step", "seconds", "objective", "", "what happened"), rows, right=("seconds", "objective"))


def _list(session: Session) -> None:
    with session.store() as store:
        drills = store.drills()
    rows = [(d.number, when(d.at), d.chaos, d.verdict, d.source, d.target, f"{d.seconds:.1f}", d.said) for d in drills]
    columns = ("drill", "when", "chaos", "verdict", "from", "to", "seconds", "result")
    listed = Rows(columns, rows, right=("drill", "seconds")) if rows else "no drill yet: `vecrollback drill`"
    session.emit({"drills": [asdict(one) for one in drills]}, lambda: [listed])
