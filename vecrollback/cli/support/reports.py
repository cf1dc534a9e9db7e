"""What the commands that audit a pair share: options, the shape of a report, and the exit code of a verdict."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.records import Report

REPORT = (
    "{pair, snapshot, level, verdict: pass|fail|unknown, findings: [{law, kind, count, ids, message, severity}], "
    "certificate: {sampled, foreign, population, bound, confidence, sensitivity}|null, watermark, head, at, examined}"
)
PairArgument = Annotated[str | None, typer.Argument(metavar="[PAIR]", help="Default: the live pair.")]


def share(value: str) -> float:
    """Read a share of everything: 1% or 0.01."""
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is neither like 1% nor like 0.01") from None
    if not 0 < number < 1:
        raise typer.BadParameter(f"{value} is not between 0% and 100%")
    return number


def exit_by(report: Report) -> None:
    """End with exit code 1 unless the report passes: what could not be examined is not OK."""
    if report.verdict != "pass":
        raise typer.Exit(1)
