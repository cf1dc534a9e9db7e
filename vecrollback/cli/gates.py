"""Look whether a pair passes its gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command
from vecrollback.records import GateVerdict
from vecrollback.store import payloads

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part


app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{pair, snapshot, passed, outcomes: [{gate, outcome: pass|fail|unknown, sentence, measured, needed}], "
    "live, epoch}",
    examples=["gates v2", "gates"],
)
def gates(
    session: Session,
    pair: Annotated[str | None, typer.Argument(metavar="[PAIR]", help="Default: the candidate.")] = None,
) -> None:
    """Tell whether a pair would pass the gates of a promote.

    Uses the newest check of the pair, and looks whether there is a way back. Changes nothing; exit code 1 unless every
    gate passes.
    """
    with session.store() as store:
        found = store.gates.look(pair)
    session.emit(payloads.gated(found), lambda: gated(found))
    if not found.passed:
        raise typer.Exit(1)


def gated(found: GateVerdict) -> Iterator[Part]:
    yield render.gates(found.outcomes)
    yield f"{found.pair}@{found.snapshot} {'passes' if found.passed else 'does not pass'}"
