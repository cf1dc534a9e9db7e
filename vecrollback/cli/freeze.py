"""Stop automation from moving what is live."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.records.times import read_time

app = typer.Typer(add_completion=False)


@command(app, returns="{alias, reason, actor, at, until}", examples=["freeze --reason 'release day'"])
def freeze(
    session: Session,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; required.")] = "",
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it ends: 12h, or ISO 8601, UTC. Default: at `unfreeze`."),
    ] = None,
) -> None:
    """Forbid automation to move what is live; people still can.

    Whoever moves it by hand meanwhile gets a warning.
    """
    with session.store() as store:
        frozen = store.freezes.freeze(reason, actor=store.actor, until=read_time(until, ahead=True) if until else None)
    end = f"until {frozen.until[:19]}" if frozen.until else "until `vecrollback unfreeze`"
    session.emit(asdict(frozen), lambda: [f"automation moves nothing {end}: {frozen.reason}"])
