"""The group `pair`: one pair, written to another place."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.options import NameOption
from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command, common

app = typer.Typer(callback=common, help="Write a pair to another place, and prove it is the same there.")


@command(
    app,
    returns="{place, pair, made, embedded, parity: {rows, identical, least_cosine, missing, extra, verdict}}",
    examples=["pair export v1 v1.parquet", "pair export v1 'pgvector:postgresql://app@db/app#v1' --name v1-pg"],
)
def export(
    session: Session,
    pair: Annotated[str, typer.Argument(help="The pair.")],
    place: Annotated[str, typer.Argument(metavar="PLACE", help="FILE.parquet, or KIND:URL#NAME as for reembed.")],
    name: NameOption = None,
) -> None:
    """Write a pair to a file or into a database, and compare every vector there with the one here.

    In a database it becomes a pair that can be promoted, its vectors taken over. Exit code 1 where the vectors differ.
    """
    from vecrollback.store.pair_export import payload

    with session.store() as store, session.watch() as watch:
        done = store.export_pair(pair, place, name=name, progress=watch)
    parity = done.parity
    lines = [
        f"{parity.verdict}: {done.place} has {counted(parity.rows, 'vector')} of {done.pair}, {parity.identical:,} of "
        f"them identical, least cosine {parity.least_cosine:.7f}",
    ]
    lines += [f"missing there: {parity.missing:,}; there alone: {parity.extra:,}"] if parity.verdict == "fail" else []
    if done.made:
        lines.append(f"it is pair {done.made} now, {counted(done.embedded, 'text')} embedded")
        lines.append(f"next: `vecrollback promote {done.made}`")
    session.emit(payload(done), lambda: lines)
    if parity.verdict != "pass":
        raise typer.Exit(1)
