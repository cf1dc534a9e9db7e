"""Make one exact snapshot live."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.moves import SWITCH, NeededReason, NoCatchUp, Override, Wait, show_switch
from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)
Planned = Annotated[
    bool, typer.Option("--planned", help="Nothing is wrong with what is left; no answer of it was bad.")
]


@command(app, returns=SWITCH, examples=["restore v1@3 --reason 'the index of v1@4 is damaged'"])
def restore(
    session: Session,
    ref: Annotated[str, typer.Argument(metavar="PAIR@N", help="The exact snapshot.")],
    reason: NeededReason = "",
    planned: Planned = False,
    override: Override = False,
    no_catch_up: NoCatchUp = False,
    wait: Wait = 10.0,
) -> None:
    """Make one exact snapshot live.

    Documents that were deleted after it was taken stay deleted.
    """
    with session.store() as store, session.watch(finish=True) as watch:
        switched = store.restore(
            ref, reason=reason, catch_up=not no_catch_up, progress=watch, wait=wait, planned=planned, override=override
        )
    show_switch(session, switched)
