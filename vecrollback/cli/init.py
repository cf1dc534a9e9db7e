"""Create a store."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.errors import StoreNotFoundError

app = typer.Typer(add_completion=False)


@command(app, returns="{store, created}", examples=["init", "init --store /srv/vectors", "init --embedder hash:256"])
def init(
    session: Session,
    embedder: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Build the first pair with this model and let it serve, if there is none."),
    ] = None,
) -> None:
    """Create an empty store.

    A store that exists already is left as it is, but for a first pair that you ask for and it lacks.
    """
    try:
        with session.store(embedder=embedder) as store:
            place, created = store.status()["store"], False
    except StoreNotFoundError:
        with session.store(create=True, embedder=embedder) as store:
            place, created = store.status()["store"], True
    line = f"created a store at {place}; next: `vecrollback ingest FILE`" if created else f"there is a store at {place}"
    session.emit({"store": place, "created": created}, lambda: [line])
