"""Search a pair for foreign vectors."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.options import REPORT, PairArgument, exit_by, share
from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns=REPORT,
    examples=["purity", "purity v1 --budget 2%", "purity v1 --suspect v2 --bound 0.1% --confidence 99%"],
)
def purity(
    session: Session,
    pair: PairArgument = None,
    suspect: Annotated[
        list[str] | None,
        typer.Option(metavar="EMBEDDER", help="Pair or embedder that may have written. Default: the store's pairs."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="SHARE|N", help="Embed at most so many: 2% of the chunks, or 500 texts."),
    ] = None,
    bound: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="Largest share of foreign vectors left to rule out.")
    ] = "0.1%",  # type: ignore[assignment]
    confidence: Annotated[float, typer.Option(parser=share, metavar="SHARE", help="With what certainty.")] = "99%",  # type: ignore[assignment]
) -> None:
    """Find the vectors of a pair that its own model did not make.

    Embeds as few texts as it can, at most the budget, and certifies how many foreign vectors may be left at most. Exit
    code 1 unless the verdict is pass.
    """
    with session.store() as store, session.watch() as watch:
        report = store.audit(
            pair, suspects=suspect or None, budget=budget, bound=bound, confidence=confidence, progress=watch
        )
    session.emit(payloads.report(report), lambda: render.report(report))
    exit_by(report)
