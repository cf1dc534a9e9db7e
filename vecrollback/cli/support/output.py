"""Results on stdout, everything else on stderr, and nothing that could break either."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vecrollback.errors import UsageError, VecrollbackError
from vecrollback.records import Json

if TYPE_CHECKING:
    from rich.console import Console

    from vecrollback.cli.support.tables import Part


def print_json(payload: Json) -> None:
    """One JSON document; plain ASCII where the stream could not carry more."""
    ascii_only = not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf8")
    typer.echo(json.dumps(payload, indent=2, ensure_ascii=ascii_only))


def print_text(parts: Iterable[Part]) -> None:
    """Print lines and tables, in this order. No line is broken: what is copied from it must be whole."""
    if not sys.stdout.isatty():
        for part in parts:
            typer.echo(str(part))  # rich would cost a switch a tenth of its time
        return
    screen = console()
    for part in parts:
        screen.print(part, soft_wrap=True)


def console(*, stderr: bool = False) -> Console:
    """A terminal's console that takes every string literally: ids and texts may hold what looks like markup."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def note(message: str) -> None:
    """Say something on stderr."""
    typer.echo(message, err=True)


def print_error(kind: str, message: str, hint: str, *, as_json: bool) -> None:
    """An error: on stderr for people, on stdout as the one JSON document for programs."""
    if as_json:
        print_json(_error(kind, message, hint))
        return
    line = f"error: {message}"
    note(line if os.environ.get("NO_COLOR") else typer.style(line, fg="red"))
    if hint:
        note(f"hint: {hint}")


def write_error(error: VecrollbackError, *, as_json: bool) -> None:
    """The same, past every buffer: a signal may have come in the middle of a print, and those cannot be nested."""
    kind, message, hint = type(error).__name__, error.message, error.hint
    text = json.dumps(_error(kind, message, hint)) if as_json else f"error: {message}\nhint: {hint}"
    os.write(1 if as_json else 2, f"{text}\n".encode())


def _error(kind: str, message: str, hint: str) -> Json:
    return {"error": {"type": kind, "message": message, "hint": hint}}


def failure(error: Exception, *, as_json: bool) -> int:
    """Report what a command raised; returns the exit code that its class asks for."""
    if isinstance(error, VecrollbackError):
        print_error(type(error).__name__, error.message, error.hint, as_json=as_json)
        return error.exit_code
    if os.environ.get("VECROLLBACK_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    message = f"{type(error).__name__}: {error}"
    hint = "nothing acknowledged is lost; VECROLLBACK_DEBUG=1 shows where it happened"
    print_error(type(error).__name__, message, hint, as_json=as_json)
    return 1


def typed() -> list[str]:
    """The command as it was typed, for papers that say how they are made again."""
    return ["vecrollback", *sys.argv[1:]]


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 text`, `2,000 texts`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def write_file(path: Path, text: str, *, new: bool = False) -> None:
    """Write a text to a file that the user named; with `new` never over one that exists. Raises UsageError."""
    try:
        with path.open("x" if new else "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="choose another name") from error
