"""What the commands that move the live pointer share: options, and what is said after a move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.output import counted, note
from vecrollback.cli.support.session import Session
from vecrollback.records import LIVE, Json, Switched
from vecrollback.store import payloads

if TYPE_CHECKING:
    from vecrollback.store.store import Store

SWITCH = (
    "{alias, from, to, epoch, switch_ms, searchers: {expected, acknowledged, missing}, lag, caught_up, check, trouble, "
    "warning, gates, bridge, threshold, move}"
)
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the history.")]
# Not required of the parser: a --dry-run needs none, and the store refuses a move without one.
NeededReason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; required, and kept in the history.")]
Override = Annotated[bool, typer.Option("--override", help="Pass the safety rules; needs a --reason.")]
NoCatchUp = Annotated[
    bool, typer.Option("--no-catch-up", help="Only switch; leave catch-up and check to a worker or to later.")
]
Wait = Annotated[float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for the searchers.")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would do; change nothing.")]

STOPPED = (
    "`vecrollback status` shows what is live now; if it moved, `vecrollback catch-up PAIR` and `check PAIR` do the "
    "rest: the same command would move once more"
)
"""What to do after a second Ctrl-C in a command that moves `live` first and then proves what serves."""


def forward_age(store: Store, name: str) -> dict[str, Json]:
    """How old what a pair would serve is: its snapshot, and the changes that it lacks."""
    pair, live = store.pair(name), store.status()["alias"].get(LIVE)
    taken = {one.ref: one.created_at for one in store.snapshots(name)}.get(pair.ref, "")
    return {
        "pair": pair.name,
        "snapshot": pair.snapshot,
        "taken_at": taken,
        "watermark": pair.watermark,
        "lag": store.lag(name),
        "live": f"{live['pair']}@{live['snapshot']}" if live else None,
        "checked": payloads.pair(store, name)["checked"],
    }


def age_line(age: Mapping[str, Json]) -> str:
    """The same in a sentence."""
    taken = f", taken {age['taken_at'][:16]} UTC" if age["taken_at"] else ""
    return (
        f"{age['pair']}@{age['snapshot']}{taken}, {counted(age['lag'], 'change')} behind, "
        f"last check {age['checked'] or 'none'}; live now: {age['live'] or 'nothing'}"
    )


def show_switch(session: Session, switched: Switched) -> None:
    """Render a move. Exit code 1 when it stands but what came after it did not go well."""
    session.emit(payloads.switched(switched), lambda: render.switched(switched))
    finish(switched)


def finish(switched: Switched) -> None:
    """Say what whoever moved it should know; exit code 1 when what came after the move did not go well."""
    if switched.bridge is not None:
        note(f"its model is gone; queries come {switched.bridge.sentence}")
    if switched.threshold is not None:
        note(switched.threshold.sentence)
    if switched.warning:
        note(f"warning: {switched.warning}")
    if switched.trouble or (switched.report is not None and switched.report.verdict != "pass"):
        note(render.stands(switched))
        raise typer.Exit(1)
