"""The application: finds the command that was asked for, and is the one place where an error becomes an exit code."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from vecrollback.cli.support import output
from vecrollback.cli.support.commands import EXIT_CODES, PANELS, load
from vecrollback.cli.support.session import CatalogOption, JsonOption, StoreOption, common
from vecrollback.storage.machine import yield_unless_starved


class Root(TyperGroup):
    """The top-level command. Its `main` handles errors for the shell and for typer's test runner alike."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # These only show their line in the help and in completions; `resolve_command` loads the one that is run.
        self.commands = {
            name: TyperCommand(name, help=line, rich_help_panel=panel)
            for panel, lines in PANELS.items()
            for name, line in lines.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the arguments name, and load its module."""
        name, shown, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and shown else None, rest

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,  # noqa: ARG002
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run a command and exit. An error goes to stderr, or to stdout as JSON, and its class gives the exit code."""
        arguments = list(sys.argv[1:] if args is None else args) or ["--help"]
        # Before parsing succeeds there is no other way to know in which form an error is wanted.
        as_json = "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments
        _tolerate_any_text()
        try:
            # Never standalone: click would print errors its own way and end the process.
            code = super().main(arguments, "vecrollback", complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            code = _usage(error, as_json=as_json)
        except Exception as error:
            code = output.failure(error, as_json=as_json)
        sys.exit(code or 0)


app = typer.Typer(
    cls=Root,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\n".join(["Exit codes:", *(f"{code}  {meaning}" for code, meaning in EXIT_CODES.items())]),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("vecrollback"))
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    as_json: JsonOption = False,
    store: StoreOption = None,
    catalog: CatalogOption = None,
    idle: Annotated[
        bool, typer.Option("--idle", help="Leave the processor to whatever else wants it, such as queries.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Change the embedding model of a vector system, and change it back: model and index together, with proof."""
    del version
    if idle:
        yield_unless_starved()
    common(ctx, as_json, store, catalog)


def main() -> None:
    """Entry point of the `vecrollback` command."""
    # What is imported stays. To look through it again and again for garbage would be a sixth of a rollback's time.
    gc.set_threshold(100_000)
    try:
        app()
    finally:
        gc.freeze()  # nor is it freed piece by piece at the end, which was a quarter of it; the system takes it at once


def _usage(error: typer.TyperException, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "vecrollback"
    kind, message = type(error).__name__, error.format_message()
    if context is not None and message == "Missing command.":
        message = f"`{path}` needs one of its commands: {', '.join(context.command.commands)}"
    output.print_error(kind, message, f"`{path} --help`", as_json=as_json)
    return error.exit_code


def _tolerate_any_text() -> None:
    # An id or a path may hold what the terminal's encoding lacks; that must not hide the message.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
