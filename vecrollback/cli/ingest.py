"""Write documents into the store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli.support.output import counted, note
from vecrollback.cli.support.session import Session, command
from vecrollback.records import Ingested

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{seq, read, changed, unchanged, deleted, rejected: [{line, reason}]}",
    examples=["ingest documents.jsonl", "ingest changes.jsonl.zst --changes", "ingest notes/ --skip-bad"],
)
def ingest(
    session: Session,
    path: Annotated[Path, typer.Argument(help="A .jsonl, .csv or .parquet file (also .gz, .zst), or a folder.")],
    id_field: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Field of the id. Default: id, then _id.")
    ] = None,
    text_field: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Field of the text. Default: text, after title.")
    ] = None,
    changes: Annotated[bool, typer.Option("--changes", help="Each row says in `op`: upsert or delete.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Count bad rows and go on.")] = False,
) -> None:
    """Write the documents of a file or folder into the store.

    Running it again changes only the documents that differ.
    """
    with session.store() as store, session.watch(finish=True) as watch:
        result = store.ingest(
            path, id_field=id_field, text_field=text_field, changes=changes, skip_bad=skip_bad, progress=watch
        )
    for row in result.rejected:
        note(f"{path}:{row.line}: {row.reason}")
    session.emit(asdict(result), lambda: [_line(result)])


def _line(result: Ingested) -> str:
    counts = {
        "changed": result.changed,
        "unchanged": result.unchanged,
        "deleted": result.deleted,
        "rejected": len(result.rejected),
    }
    outcome = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    return f"{counted(result.read, 'document')} read: {outcome}; newest change {result.seq:,}"
