"""Commands that move the live pointer: promote, rollback, restore."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli import render
from vecrollback.cli.output import note
from vecrollback.cli.session import Session, command
from vecrollback.records import Switched
from vecrollback.store import payloads

app = typer.Typer()
_PANEL = "Moving what is live"
_RETURNS = (
    "{alias, from, to, epoch, switch_ms, searchers: {expected, acknowledged, missing}, lag, caught_up, check, trouble, "
    "warning, gates}"
)

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the history.")]
# Not required of the parser: a --dry-run needs none, and the store refuses a move without one.
NeededReason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, needed; it is kept in the history.")]
Override = Annotated[bool, typer.Option("--override", help="Pass the safety rules; needs a --reason.")]
NoCatchUp = Annotated[
    bool, typer.Option("--no-catch-up", help="Only switch; leave catch-up and check to a worker or to later.")
]
Wait = Annotated[float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for the searchers.")]


@command(app, panel=_PANEL, returns=_RETURNS, examples=["promote v2", "promote v2 --override --reason 'was no fault'"])
def promote(
    session: Session,
    pair: Annotated[str, typer.Argument(help="The pair that shall serve.")],
    reason: Reason = "",
    override: Override = False,
    wait: Wait = 10.0,
) -> None:
    """Let a pair serve: catch it up, check it, have every searcher load it, then move live."""
    with session.store() as store, session.watch() as watch:
        done = store.promote(pair, reason=reason, override=override, progress=watch, wait=wait)
    show_switch(session, done)


@command(
    app,
    panel=_PANEL,
    returns=_RETURNS + "; with --dry-run {target, watermark, lag, checked, dry_run}",
    examples=["rollback --dry-run", "rollback --reason 'answers got worse'", "rollback --to v1 --reason TEXT"],
)
def rollback(
    session: Session,
    to: Annotated[str | None, typer.Option("--to", metavar="PAIR", help="Default: the last one fit to serve.")] = None,
    reason: NeededReason = "",
    override: Override = False,
    no_catch_up: NoCatchUp = False,
    wait: Wait = 10.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show where it would go; change nothing.")] = False,
) -> None:
    """Go back to the pair that served before, model and index together; then catch it up and check it."""
    if dry_run:
        _plan(session, to, override)
        return
    with session.store() as store, session.watch(finish=True) as watch:
        done = store.rollback(to, reason=reason, override=override, catch_up=not no_catch_up, progress=watch, wait=wait)
    show_switch(session, done)


@command(app, panel=_PANEL, returns=_RETURNS, examples=["restore v1@3 --reason 'the index of v1@4 is damaged'"])
def restore(
    session: Session,
    ref: Annotated[str, typer.Argument(metavar="PAIR@N", help="The exact snapshot.")],
    reason: NeededReason = "",
    no_catch_up: NoCatchUp = False,
    wait: Wait = 10.0,
) -> None:
    """Let one exact snapshot serve; what was deleted since it was taken stays deleted."""
    with session.store() as store, session.watch(finish=True) as watch:
        done = store.restore(ref, reason=reason, catch_up=not no_catch_up, progress=watch, wait=wait)
    show_switch(session, done)


def show_switch(session: Session, done: Switched) -> None:
    """Render a move. Exit code 1 when it stands but what came after it did not go well."""
    session.emit(payloads.switched(done), lambda: render.switched(done))
    finish(done)


def finish(done: Switched) -> None:
    """Say what whoever moved it should know; exit code 1 when what came after the move did not go well."""
    if done.warning:
        note(f"warning: {done.warning}")
    if done.trouble or (done.report is not None and done.report.verdict != "pass"):
        note(render.stands(done))
        raise typer.Exit(1)


def _plan(session: Session, to: str | None, override: bool) -> None:
    with session.store() as store:
        target = store.rollback_target(to, override=override)
        pair = payloads.pair(store, target.pair)
    plan = {
        "target": target.ref,
        "watermark": pair["watermark"],
        "lag": pair["lag"],
        "checked": pair["checked"],
        "dry_run": True,
    }
    said = (
        f"a rollback would go to {target.ref}: {pair['lag']:,} changes behind, last check {pair['checked'] or 'none'}"
    )
    session.emit(plan, lambda: [said, "nothing was changed"])
