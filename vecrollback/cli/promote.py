"""Make a pair live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.moves import (
    SWITCH,
    DryRun,
    Override,
    Reason,
    Wait,
    age_line,
    forward_age,
    show_switch,
)
from vecrollback.cli.support.session import Session, command
from vecrollback.errors import UsageError
from vecrollback.records import GateVerdict, Json
from vecrollback.records.cascade import MOST_A_QUERY, MOST_A_SECOND
from vecrollback.store import payloads

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part

app = typer.Typer(add_completion=False)


@command(
    app,
    returns=SWITCH + "; with --dry-run {pair, snapshot, taken_at, watermark, lag, live, checked, passed, outcomes, "
    "obstacle, dry_run}",
    examples=[
        "promote v2 --dry-run",
        "promote v2",
        "promote v2 --override --reason 'it was not at fault'",
        "promote v2 --by cascade --embedder ./my-model",
    ],
)
def promote(
    session: Session,
    pair: Annotated[str, typer.Argument(help="The pair that shall serve.")],
    reason: Reason = "",
    override: Override = False,
    wait: Wait = 10.0,
    by: Annotated[
        Literal["cascade"] | None,
        typer.Option("--by", metavar="cascade", help="Before it is built: the live pair names candidates."),
    ] = None,
    embedder: Annotated[
        str | None, typer.Option("--embedder", metavar="MODEL", help="Of a cascade's pair that is not there yet.")
    ] = None,
    per_query: Annotated[
        int, typer.Option(min=1, metavar="TEXTS", help="What a cascade may embed for one query.")
    ] = MOST_A_QUERY,
    per_second: Annotated[
        int, typer.Option(min=1, metavar="TEXTS", help="What each searcher may embed in a second for a cascade.")
    ] = MOST_A_SECOND,
    dry_run: DryRun = False,
) -> None:
    """Make a pair live, after catch-up, check and gates.

    Every serving process loads the pair before the pointer moves, so that no query waits or fails. With --dry-run the
    gates are judged by its newest check; exit code 1 when it would be refused.

    With `--by cascade` a pair serves before it is built, once it was tried with queries: the live pair names
    candidates, the new model ranks them. `catch-up`, or a worker, builds it meanwhile.
    """
    if dry_run and by is not None:
        raise UsageError(
            "whether a pair may serve by cascade is known once it was tried",
            hint="leave out --dry-run; a trial moves nothing",
        )
    if dry_run:
        _plan(session, pair)
        return
    with session.store() as store, session.watch() as watch:
        switched = store.promote(
            pair,
            reason=reason,
            override=override,
            progress=watch,
            wait=wait,
            by=by,
            embedder=embedder,
            per_query=per_query,
            per_second=per_second,
        )
    show_switch(session, switched)


def _plan(session: Session, pair: str) -> None:
    with session.store() as store:
        verdict, age = store.gates.look(pair), forward_age(store, pair)
        obstacle = store.gates.obstacle(pair)
        facts = payloads.gated(verdict) | age
    plan = {**facts, "obstacle": obstacle, "dry_run": True}
    session.emit(plan, lambda: _plan_lines(plan, verdict))
    if obstacle or not verdict.passed:
        raise typer.Exit(1)


def _plan_lines(plan: Json, verdict: GateVerdict) -> Iterator[Part]:
    yield age_line(plan)
    yield render.gates(verdict.outcomes)
    refused = plan["obstacle"] or ("" if verdict.passed else "it does not pass its gates")
    yield f"it would be refused: {refused}" if refused else "it would be caught up, checked anew and made live"
    yield "nothing was changed"
