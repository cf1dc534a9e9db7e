"""Go back to the pair that was live before."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.moves import SWITCH, NeededReason, NoCatchUp, Override, Wait, show_switch
from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command
from vecrollback.records import Json
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns=SWITCH + "; with --dry-run {target, watermark, lag, checked, model, dry_run}",
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
    """Go back to the pair that was live before: model and index.

    The older pair serves at once. Then it is brought up to date with its own model, and checked.
    """
    if dry_run:
        _plan(session, to, override)
        return
    with session.store() as store, session.watch(finish=True) as watch:
        switched = store.rollback(
            to, reason=reason, override=override, catch_up=not no_catch_up, progress=watch, wait=wait
        )
    show_switch(session, switched)


def _plan(session: Session, to: str | None, override: bool) -> None:
    with session.store() as store:
        target = store.rollback_target(to, override=override)
        pair = payloads.pair(store, target.pair)
    plan = {
        "target": target.ref,
        "watermark": pair["watermark"],
        "lag": pair["lag"],
        "checked": pair["checked"],
        "model": pair["model"],
        "dry_run": True,
    }
    behind = counted(pair["lag"], "change")
    line = f"a rollback would go to {target.ref}: {behind} behind, last check {pair['checked'] or 'none'}"
    session.emit(plan, lambda: [line, _model_line(target.pair, pair["model"]), "nothing was changed"])


def _model_line(name: str, model: Json) -> str:
    if model["answers"] == "unknown":
        return f"nobody asked its model within the last quarter of an hour: `vecrollback embedder ask {name}`"
    verb = "answered" if model["answers"] == "pass" else "did not answer"
    return f"its model {verb} when it was asked at {model['asked_at'][:19]}: {model['said']}"
