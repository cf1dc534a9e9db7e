"""List the bridges."""

from __future__ import annotations

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.cli.support.tables import Rows
from vecrollback.records import BridgeWorth
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{bridges: [{number, source, target, source_fingerprint, target_fingerprint, artifact, method, rows, "
    "worth, created_at, verdict, sentence}]}",
    examples=["bridges"],
)
def bridges(session: Session) -> None:
    """List the maps between pairs, and what each is worth."""
    with session.store() as store:
        found = store.bridges()
    rows = (
        (f"{one.source} -> {one.target}", one.verdict, *_measures(one.worth), one.worth.kind, one.created_at)
        for one in found
    )
    heads = ("bridge", "verdict", "recall@10", "nDCG@10", "own", "stay", "against staying", "queries", "fitted")
    session.emit(
        {"bridges": [payloads.bridge(one) for one in found]},
        lambda: [Rows(heads, rows, right=heads[2:7]) if found else "there is no bridge yet"],
    )


def _measures(worth: BridgeWorth) -> list[str]:
    values = worth.recall, worth.bridged, worth.own, worth.stay
    gain = "-" if worth.gain is None else f"{worth.gain:+.3f}"
    if worth.gain_low is not None:
        gain += f" ({worth.gain_low:+.3f} to {worth.gain_high:+.3f})"
    return [*("-" if value is None else f"{value:.3f}" for value in values), gain]
