"""What the commands on requests for approval share."""

from __future__ import annotations

from typing import Annotated

import typer

APPROVAL = "{number, kind, state, target, epoch, reason, asked_by, at, needed, decisions, trigger}"
Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The request, as `vecrollback approvals` lists it.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the request.")]
