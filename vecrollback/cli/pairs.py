"""List the pairs."""

from __future__ import annotations

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)
_PAIR = (
    "{name, state, embedder, fingerprint, dimension, index, backend, snapshot, watermark, lag, checked, model, reason, "
    "cascade, metric, contract, settings, index_spec, state_reason, vectors_version, probes, probe_floor, created_at}"
)


@command(app, returns=f"{{pairs: [{_PAIR}]}}")
def pairs(session: Session) -> None:
    """List every pair: its state, embedder, lag and last check."""
    with session.store() as store:
        payload = payloads.pairs(store)
    rows = payload["pairs"]
    session.emit(payload, lambda: [render.pairs(rows)] if rows else ["no pair yet: `vecrollback reembed MODEL`"])
