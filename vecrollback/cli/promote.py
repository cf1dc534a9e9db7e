"""Make a pair live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

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
from vecrollback.records import GateVerdict, Json
from vecrollback.store import payloads

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(add_completion=False)


@command(
    app,
    returns=SWITCH + "; with --dry-run {pair, snapshot, taken_at, watermark, lag, live, checked, passed, outcomes, "
    "obstacle, dry_run}",
    examples=["promote v2 --dry-run", "promote v2", "promote v2 --override --reason 'it was not at fault'"],
)
def promote(
    session: Session,
    pair: Annotated[str, typer.Argument(help="The pair that shall serve.")],
    reason: Reason = "",
    override: Override = False,
    wait: Wait = 10.0,
    dry_run: DryRun = False,
) -> None:
    """Make a pair live, after catch-up, check and gates.

    Every serving process loads the pair before the pointer moves, so that no query waits or fails. With --dry-run the
    gates are judged by its newest check; exit code 1 when it would be refused.
    """
    if dry_run:
        _plan(session, pair)
        return
    with session.store() as store, session.watch() as watch:
        switched = store.promote(pair, reason=reason, override=override, progress=watch, wait=wait)
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


def _plan_lines(plan: Json, verdict: GateVerdict) -> Iterator[RenderableType]:
    yield age_line(plan)
    yield render.gates(verdict.outcomes)
    refused = plan["obstacle"] or ("" if verdict.passed else "it does not pass its gates")
    yield f"it would be refused: {refused}" if refused else "it would be caught up, checked anew and made live"
    yield "nothing was changed"
