"""Trust a folder's vecrollback.toml on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(app, returns="{trusted: [folder]}", examples=["trust", "trust /srv/notes", "trust /srv/notes --remove"])
def trust(
    session: Session,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="Where the file lies. Default: the working directory.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Trust it no longer.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Only list the folders that are trusted.")] = False,
) -> None:
    """Trust a folder's vecrollback.toml on this machine.

    Its policy, gates, profiles and allow-list count from then on. Read the file first: it may name commands to run, and
    addresses to send texts and keys to. VECROLLBACK_TRUST lists folders for processes that have no home.
    """
    from vecrollback.storage.trust import set_trusted, trusted_folders

    own = folder or Path.cwd()
    names = [str(one) for one in (trusted_folders() if list_ else set_trusted(own, trusted=not remove))]
    done = f"{own.resolve()} is trusted {'no longer' if remove else 'from now on'}"
    session.emit({"trusted": names}, lambda: (names or ["no folder is trusted"]) if list_ else [done])
