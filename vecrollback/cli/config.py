"""Show the configuration in force."""

from __future__ import annotations

from dataclasses import asdict

import typer

from vecrollback.cli.support.session import Session, command, common
from vecrollback.cli.support.tables import Rows

app = typer.Typer(callback=common, help="Show the configuration in force, and where each value comes from.")


@command(app, returns="{settings: [{name, value, origin}]}", examples=["config show", "config show --json"])
def show(session: Session) -> None:
    """Show each setting as it counts here and now, and where it comes from; secrets are masked.

    Needs no store. Tables of `vecrollback.toml` follow the settings, value by value.
    """
    from vecrollback.storage.effective_config import effective

    settings = effective(store=session.uri, catalog=session.catalog)
    rows = ((one.name, one.value, one.origin) for one in settings)
    table = Rows(("setting", "value", "from"), rows)
    session.emit({"settings": [asdict(one) for one in settings]}, lambda: [table])
