"""Create a store."""

from __future__ import annotations

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.errors import StoreNotFoundError

app = typer.Typer(add_completion=False)


@command(app, returns="{store, created}", examples=["init", "init --store /srv/vectors"])
def init(session: Session) -> None:
    """Create an empty store.

    A store that exists already is left as it is.
    """
    try:
        with session.store() as store:
            place, created = store.status()["store"], False
    except StoreNotFoundError:
        with session.store(create=True) as store:
            place, created = store.status()["store"], True
    line = f"created a store at {place}; next: `vecrollback ingest FILE`" if created else f"there is a store at {place}"
    session.emit({"store": place, "created": created}, lambda: [line])
