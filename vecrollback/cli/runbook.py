"""Write the runbook of a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support.output import write_file
from vecrollback.cli.support.session import Session, command

if TYPE_CHECKING:
    pass


app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{path}; without FILE {markdown}",
    examples=["runbook", "runbook RUNBOOK.md --server https://search.example.com"],
)
def runbook(
    session: Session,
    path: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Default: stdout.")] = None,
    server: Annotated[str, typer.Option(metavar="URL", help="Where the store is served, for the page.")] = "",
) -> None:
    """Write the runbook of this store, with the commands to type.

    Names its pairs, its objectives, the last drill and the contacts.
    """
    with session.store() as store:
        markdown = store.runbook(server)
    if path is None:
        session.emit({"markdown": markdown}, lambda: [markdown])
        return
    write_file(path, markdown)
    session.emit({"path": str(path)}, lambda: [f"wrote {path}"])
