"""Make a pair live."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.moves import SWITCH, Override, Reason, Wait, show_switch
from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(app, returns=SWITCH, examples=["promote v2", "promote v2 --override --reason 'it was not at fault'"])
def promote(
    session: Session,
    pair: Annotated[str, typer.Argument(help="The pair that shall serve.")],
    reason: Reason = "",
    override: Override = False,
    wait: Wait = 10.0,
) -> None:
    """Make a pair live, after catch-up, check and gates.

    Every serving process loads the pair before the pointer moves, so that no query waits or fails.
    """
    with session.store() as store, session.watch() as watch:
        switched = store.promote(pair, reason=reason, override=override, progress=watch, wait=wait)
    show_switch(session, switched)
