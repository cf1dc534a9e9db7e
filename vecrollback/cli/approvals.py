"""What holds automation back, and what waits for people: freeze, unfreeze, approvals, approve, reject."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli import render
from vecrollback.cli.promote import finish
from vecrollback.cli.session import Session, command
from vecrollback.errors import UsageError
from vecrollback.store import payloads

app = typer.Typer()
_PANEL = "Moving what is live"
_APPROVAL = "{number, kind, state, target, epoch, reason, asked_by, at, needed, decisions, trigger}"
Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The request, as `vecrollback approvals` lists it.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the request.")]


@command(app, panel=_PANEL, returns="{alias, reason, actor, at, until}", examples=["freeze --reason 'release day'"])
def freeze(
    session: Session,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, needed.")] = "",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends, ISO 8601. Default: at `vecrollback unfreeze`.")
    ] = None,
) -> None:
    """Let automation move nothing. People still can, and are told."""
    with session.store() as store:
        held = store.authority.freeze(reason, actor=store.actor, until=_time(until) if until else None)
    end = f"until {held.until[:19]}" if held.until else "until `vecrollback unfreeze`"
    session.emit(asdict(held), lambda: [f"automation moves nothing {end}: {held.reason}"])


@command(app, panel=_PANEL, returns="{was_frozen}")
def unfreeze(session: Session) -> None:
    """Let automation act again."""
    with session.store() as store:
        was = store.authority.unfreeze(actor=store.actor)
    session.emit({"was_frozen": was}, lambda: ["automation may act again" if was else "it was not frozen"])


@command(app, panel=_PANEL, returns=f"{{approvals: [{_APPROVAL}]}}", examples=["approvals --waiting"])
def approvals(
    session: Session,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that wait.")] = False,
) -> None:
    """List moves that waited or wait for people, newest first."""
    with session.store() as store:
        found = store.authority.approvals(state="waiting" if waiting else None)
    rows = [
        (
            a.number,
            a.state,
            a.kind,
            a.target or "last fit pair",
            f"{len(a.approved_by)}/{a.needed}",
            a.asked_by,
            a.reason,
        )
        for a in found
    ]
    columns = ("request", "state", "move", "to", "approved", "asked by", "reason")
    said = render.table(columns, rows, right=("request",)) if rows else "nothing waits for anybody"
    session.emit({"approvals": [asdict(one) for one in found]}, lambda: [said])


@command(
    app,
    panel=_PANEL,
    returns=f"{{approval: {_APPROVAL}, switched}}; switched as rollback prints it, null while more people are needed",
    examples=["approve 3"],
)
def approve(
    session: Session,
    number: Number,
    reason: Why = "",
    no_catch_up: Annotated[bool, typer.Option("--no-catch-up", help="Only switch.")] = False,
) -> None:
    """Agree to a move that waits; the last one who is needed makes it."""
    from vecrollback.store import deciding

    with session.store() as store, session.watch(finish=True) as watch:
        decided = deciding.approve(store, number, reason=reason, catch_up=not no_catch_up, progress=watch)
    asked, done = decided.approval, decided.switched
    payload = {"approval": asdict(asked), "switched": payloads.switched(done) if done else None}
    left = asked.needed - len(asked.approved_by)
    said = render.switched(done) if done else [f"{left} more of {asked.needed} people needed for request {number}"]
    session.emit(payload, lambda: said)
    if done is not None:
        finish(done)


@command(app, panel=_PANEL, returns=_APPROVAL, examples=["reject 3 --reason 'the numbers were wrong'"])
def reject(session: Session, number: Number, reason: Why = "") -> None:
    """Refuse a move that waits."""
    from vecrollback.store import deciding

    with session.store() as store:
        refused = deciding.reject(store, number, reason=reason)
    session.emit(asdict(refused), lambda: [f"request {number} is refused"])


def _time(given: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(given).astimezone(dt.UTC)
    except ValueError:
        raise UsageError(f"{given!r} is no time", hint="like 2026-01-31T12:00:00+00:00") from None
