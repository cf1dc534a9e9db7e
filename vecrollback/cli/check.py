"""Audit a pair."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.options import REPORT, PairArgument, exit_by, share
from vecrollback.cli.support.session import Session, command
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


def _sample(value: str) -> int:
    if value == "all":
        return sys.maxsize
    if not value.isdecimal() or not int(value):
        raise typer.BadParameter(f"{value!r} is neither a number of chunks nor `all`")
    return int(value)


@command(
    app,
    returns=REPORT,
    examples=["check", "check v1 --bound 0.1% --confidence 99%", "check v1 --sample all"],
)
def check(
    session: Session,
    pair: PairArgument = None,
    quick: Annotated[bool, typer.Option("--quick", help="Catalog and files only: no vectors, no model.")] = False,
    bound: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="Largest share of foreign vectors to rule out.")
    ] = "1%",  # type: ignore[assignment]
    confidence: Annotated[float, typer.Option(parser=share, metavar="SHARE", help="With what certainty.")] = "95%",  # type: ignore[assignment]
    sample: Annotated[
        int | None,
        typer.Option(parser=_sample, metavar="N|all", help="Chunks to re-embed. Default: what --bound needs."),
    ] = None,
) -> None:
    """Audit a pair: every document in it, every vector from its model.

    Compares the pair with the log of documents, and embeds a random sample of its texts again. Exit code 1 unless the
    verdict is pass, also when something could not be examined.
    """
    with session.store() as store:
        level = "quick" if quick else "full"
        report = store.check(pair, level, bound=bound, confidence=confidence, sample=sample)  # type: ignore[arg-type]
    session.emit(payloads.report(report), lambda: render.report(report))
    exit_by(report)
