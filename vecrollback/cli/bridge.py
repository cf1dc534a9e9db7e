"""Learn a bridge."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{number, source, target, source_fingerprint, target_fingerprint, artifact, method, rows, worth: {recall, "
    "held_out, among, queries, kind, own, bridged, stay, gain_low, gain_high, words}, created_at, verdict, sentence}",
    examples=["bridge v2 v1", "bridge v2 v1 --json"],
)
def bridge(
    session: Session,
    source: Annotated[str, typer.Argument(metavar="A", help="The pair whose model will embed the queries.")],
    target: Annotated[str, typer.Argument(metavar="B", help="The pair in whose space they are to be compared.")],
) -> None:
    """Learn a map from one pair's model to another pair's space.

    It is learned from vectors that both pairs hold; only the queries that measure it are embedded, a few hundred at
    most. A promote learns it by itself, for the way back.
    """
    with session.store() as store:
        found = store.bridge(source, target)
    session.emit(
        payloads.bridge(found),
        lambda: [
            f"{found.source} -> {found.target}: {found.verdict}",
            found.sentence,
            f"{found.method}, learned from {found.rows:,} texts",
        ],
    )
