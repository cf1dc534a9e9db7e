"""Show how things stand."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import typer

from vecrollback.cli.support import output, render
from vecrollback.cli.support.session import Session, command
from vecrollback.errors import VecrollbackError
from vecrollback.records import Json
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    speaks_by_itself=True,
    returns="{store, catalog, alias: {live: {pair, snapshot, epoch}}, corpus: {head, documents}, "
    "pairs: [{name, state, reason, embedder, fingerprint, dimension, index, snapshot, watermark, lag, checked, "
    "bridged, accepted, model: {kept_bytes, answers: pass|fail|unknown, said, asked_at, seconds, server}, "
    "cascade: null|{source, covered, documents, embedded, queries, per_query, per_second, started_at, verdict, "
    "measured}}], "
    "searchers: [{host, pid, epoch}], jobs: [{id, kind, pair, state, progress, error, paused, started_at}], "
    "rollback: {target, reason}, setback, "
    "situation: {at, state: ok|note|unknown|alert, verdict, sentence, lines: [{name, state, sentence, command}]}}; "
    "with --watch a line of it for each look",
    examples=["status", "status --watch", "status --watch --json --interval 10"],
)
def status(
    session: Session,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again, in place; to a pipe a line for each change.")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.2, metavar="SECONDS", help="With --watch: between two looks.")] = 2.0,
    rounds: Annotated[int | None, typer.Option(min=1, metavar="N", help="With --watch: end after as many.")] = None,
) -> None:
    """Show what is live, how far behind it is, and what is unfinished.

    Also shows where a rollback would go right now. Reads the catalog only: no model, no vectors.
    """
    if watch:
        _watch(session, interval, rounds)
        return
    with session.store() as store:
        state = payloads.status(store)
    session.emit(state, lambda: render.status(state))


_NAP_SECONDS = 0.2
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def _watch(session: Session, interval: float, rounds: int | None) -> None:
    """Look until a signal comes, or so often. A look that fails is told, and the next one made all the same."""
    count, told = 0, ""
    with session.store() as store, session.watch(finish=True) as signals:
        while not signals.stopping:
            try:
                state = payloads.status(store)
                sentence = state["situation"]["sentence"]
            except VecrollbackError as error:
                state, sentence = {}, f"Not known: {error.message}"
            _show(session, state, sentence, changed=sentence != told)
            told, count = sentence, count + 1
            if rounds is not None and count >= rounds:
                return
            until = time.monotonic() + interval
            while not signals.stopping and time.monotonic() < until:
                time.sleep(min(_NAP_SECONDS, interval))


def _show(session: Session, state: Json, sentence: str, *, changed: bool) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if session.as_json:
        typer.echo(json.dumps(state or {"error": sentence}))
    elif sys.stdout.isatty():
        typer.echo(_CLEAR, nl=False)
        output.print_text([at, *render.status(state)] if state else [at, sentence])
    elif changed:
        typer.echo(f"{at} {sentence}")
