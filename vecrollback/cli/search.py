"""Search what is live."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command
from vecrollback.records import SearchMode
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{pair, snapshot, epoch, watermark, settings, hits: [{id, score, text, metadata, chunk, stale}], current, "
    "canary, doubt, reason, metric, dimension, fingerprint, vectors_version, head, cache_key, answered_by, "
    "measured, mode}",
    examples=["search 'how do I roll back' -k 5", 'search invoices --where "year >= 2024"'],
)
def search(
    session: Session,
    query: Annotated[str, typer.Argument(help="The words to search for.")],
    k: Annotated[int, typer.Option("-k", "--k", metavar="K", min=1, help="How many documents.")] = 10,
    where: Annotated[
        str | None, typer.Option(metavar="FILTER", help="Filter over the metadata: SQL, or data as JSON.")
    ] = None,
    namespace: Annotated[str | None, typer.Option(metavar="NAME", help="Search in this namespace alone.")] = None,
    mode: Annotated[SearchMode, typer.Option(help="The live pair, the words themselves, or both.")] = "vector",
) -> None:
    """Search the live pair, and say which pair answered."""
    with session.store() as store:
        result = store.search(query, k, where, namespace, mode)
    session.emit(payloads.result(result), lambda: render.result(result))
