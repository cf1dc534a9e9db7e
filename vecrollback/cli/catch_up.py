"""Bring pairs up to date."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.options import AccelerateOption, EngineOption, IdleOption, LoadOption, WindowOption
from vecrollback.cli.support.session import Session, command
from vecrollback.records import CaughtUpBy, Effort

app = typer.Typer(add_completion=False)


@command(
    app,
    "catch-up",
    returns="{pairs: [{pair, watermark, lag, documents, embedded, reused, chunks, seconds, bridged}]}",
    examples=["catch-up", "catch-up v1", "catch-up v1 --by bridge"],
)
def catch_up(
    session: Session,
    pair: Annotated[str | None, typer.Argument(help="Default: the live and the standby pair.")] = None,
    by: Annotated[
        CaughtUpBy | None, typer.Option(metavar="WAY", help="bridge: while the pair's own model is gone.")
    ] = None,
    engine: EngineOption = "inline",
    accelerate: AccelerateOption = "off",
    idle: IdleOption = False,
    max_load: LoadOption = None,
    window: WindowOption = None,
) -> None:
    """Bring pairs up to date with the newest documents.

    Each pair is brought to the head of the log with its own embedder, while it serves. By bridge, another pair's model
    embeds, and its vectors are mapped and marked: `repair` embeds those documents again.
    """
    from vecrollback.store.automation.worker import kept_up

    with session.store() as store, session.watch() as watch:
        effort = Effort(engine, accelerate, idle=idle, max_load=max_load, window=window)
        names = [pair] if pair else kept_up(store)
        results = [store.catch_up(name, by=by, effort=effort, progress=watch) for name in names]
    lines = [render.caught_up(one) for one in results] or ["no pair is live or in standby"]
    session.emit({"pairs": [asdict(one) for one in results]}, lambda: lines)
