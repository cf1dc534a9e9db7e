"""Make one exact snapshot live."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.moves import STOPPED, SWITCH, NeededReason, NoCatchUp, Override, Wait, show_switch
from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command
from vecrollback.records import RestorePlan

app = typer.Typer(add_completion=False)
Planned = Annotated[
    bool, typer.Option("--planned", help="Nothing is wrong with what is left; no answer of it was bad.")
]


@command(
    app,
    returns=SWITCH
    + "; with --dry-run {target, live, epoch, taken_at, watermark, lag, searchers, approvals, obstacle, dry_run}",
    examples=["restore v1@3 --dry-run", "restore v1@3 --reason 'the index of v1@4 is damaged'"],
)
def restore(
    session: Session,
    ref: Annotated[str, typer.Argument(metavar="PAIR@N", help="The exact snapshot.")],
    reason: NeededReason = "",
    planned: Planned = False,
    override: Override = False,
    no_catch_up: NoCatchUp = False,
    wait: Wait = 10.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do; change nothing.")] = False,
) -> None:
    """Make one exact snapshot live.

    Documents that were deleted after it was taken stay deleted.
    """
    if dry_run:
        _plan(session, ref)
        return
    with session.store() as store, session.watch(finish=True, cure=STOPPED) as watch:
        switched = store.restore(
            ref, reason=reason, catch_up=not no_catch_up, progress=watch, wait=wait, planned=planned, override=override
        )
    show_switch(session, switched)


def _plan(session: Session, ref: str) -> None:
    with session.store() as store:
        plan = store.plan_restore(ref)
    session.emit(asdict(plan) | {"dry_run": True}, lambda: _plan_lines(plan))


def _plan_lines(plan: RestorePlan) -> list[str]:
    lines = [
        f"{plan.target} would serve in place of {plan.live or 'nothing'}: taken {plan.taken_at[:16]} UTC, "
        f"{counted(plan.lag, 'change')} behind, which the catch-up after the move takes in"
    ]
    if plan.approvals:
        people = counted(plan.approvals, "person has", "people have")
        lines.append(f"{people} to agree first: it becomes a request for `vecrollback approve`")
    if plan.obstacle:
        lines.append(f"it would be refused: {plan.obstacle}")
    return [*lines, "nothing was changed"]
