"""Take a pair out of use."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(app, returns="{pair, state}", examples=["retire v0 --reason 'replaced by v2'"])
def retire(
    session: Session,
    pair: Annotated[str, typer.Argument(help="Neither live nor the standby.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for `pairs`.")] = "",
) -> None:
    """Take a pair out of use, so that `prune` may delete it.

    `prune` then deletes it with all its snapshots and vectors.
    """
    with session.store() as store:
        store.retention.retire(store.pair(pair), reason, actor=store.actor)
    session.emit({"pair": pair, "state": "retired"}, lambda: [f"{pair} is retired; `vecrollback prune` takes it"])
