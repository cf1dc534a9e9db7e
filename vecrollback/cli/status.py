"""Show how things stand."""

from __future__ import annotations

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{store, catalog, alias: {live: {pair, snapshot, epoch}}, corpus: {head, documents}, "
    "pairs: [{name, state, reason, embedder, fingerprint, dimension, index, snapshot, watermark, lag, checked, "
    "model: {kept_bytes, answers: pass|fail|unknown, said, asked_at, seconds}}], "
    "searchers: [{host, pid, epoch}], jobs: [{id, kind, pair, state, progress, error, paused, started_at}], "
    "rollback: {target, reason}, setback, "
    "situation: {at, state: ok|note|unknown|alert, verdict, sentence, lines: [{name, state, sentence, command}]}}",
)
def status(session: Session) -> None:
    """Show what is live, how far behind it is, and what is unfinished.

    Also shows where a rollback would go right now. Reads the catalog only: no model, no vectors.
    """
    with session.store() as store:
        state = payloads.status(store)
    session.emit(state, lambda: render.status(state))
