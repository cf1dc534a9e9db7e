"""The command that shows the whole story on sample data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)


@command(
    app,
    speaks_by_itself=True,
    returns="{documents, changes, quality, from, to, switch_ms, lag, re_embedded, check, "
    "deleted_returned, searcher, held}",
    examples=["demo", "demo --keep /tmp/demo"],
)
def demo(
    session: Session,
    keep: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the demo's store there.")] = None,
) -> None:
    """Run the whole story on sample data: promote, regret, roll back.

    Takes a minute. Needs two models: `pip install 'vecrollback[demo]'`.
    """
    from vecrollback.cli.demo_story import run_demo

    raise typer.Exit(run_demo(keep=keep, as_json=session.as_json))
