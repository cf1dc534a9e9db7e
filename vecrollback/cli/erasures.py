"""The group `erasures`: deletes kept outside of the store, for the day on which an older copy is put back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli.support.moves import DryRun
from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command, common
from vecrollback.cli.support.tables import clean

app = typer.Typer(callback=common, help="Keep deletes in a file, for the day an older copy is put back.")
_SHOWN = 20


@command(app, returns="{path, written, missing}", examples=["erasures export /elsewhere/erasures.jsonl"])
def export(
    session: Session,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Deletes that it lacks are added to it.")],
) -> None:
    """Note every delete in a file; keep it outside of the store.

    With `erasures = FILE` in vecrollback.toml each delete is noted as it is made, and `status` tells when the store
    lacks some of them.
    """
    with session.store() as store:
        result = store.export_erasures(path)
    lines = [f"noted {counted(result.written, 'more delete')} in {path}"]
    if result.missing:
        lines.append(f"{counted(result.missing, 'delete')} noted there are missing here: this is an older copy")
        lines.append(f"next: `vecrollback erasures apply {path}`")
    session.emit(asdict(result), lambda: lines)


@command(
    app,
    returns="{deleted: [DOCUMENT], noted, unreadable, dry_run}",
    examples=["erasures apply /elsewhere/erasures.jsonl --dry-run", "erasures apply /elsewhere/erasures.jsonl"],
)
def apply(
    session: Session,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What `erasures export` wrote.")],
    copy_of: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The store whose deletes count too: this one was restored from its backup."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Delete what was deleted after the copy that this store was put back from.

    Also a document that was written into the copy since, under the same id: which came first, nobody can tell.
    """
    with session.store() as store:
        result = store.apply_erasures(path, copy_of=copy_of, dry_run=dry_run)
    verb = "would delete" if dry_run else "deleted"
    rest = f"; {counted(result.noted, 'more delete')} of what is not here" if result.noted else ""
    lines = [f"{verb} {counted(len(result.deleted), 'document')}{rest}"]
    lines += [f"  {clean(key)}" for key in result.deleted[:_SHOWN]]
    if len(result.deleted) > _SHOWN:
        lines.append(f"  and {len(result.deleted) - _SHOWN:,} more; --json has all of them")
    if result.unreadable:
        lines.append(f"warning: {counted(result.unreadable, 'line')} of {path} cannot be read")
    session.emit(asdict(result), lambda: lines)
