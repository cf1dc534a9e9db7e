"""What every command shares: `--json`, `--store`, `--catalog`, and the way it is registered."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperOption

from vecrollback.cli.support import output
from vecrollback.cli.support.heartbeat import Heartbeat
from vecrollback.cli.support.progress import AGAIN, ProgressDisplay
from vecrollback.errors import JobCancelledError, UsageError
from vecrollback.records import Json

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part
    from vecrollback.store.store import Store

SHARED_PANEL = "Options of every command"

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document instead of text.", rich_help_panel=SHARED_PANEL),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URI",
        help="The store: a directory, or s3://BUCKET/PREFIX. Default: VECROLLBACK_STORE, then `store` in "
        "vecrollback.toml, then indices/default.",
        rich_help_panel=SHARED_PANEL,
    ),
]
CatalogOption = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="URL",
        help="PostgreSQL database of the catalog. Default: VECROLLBACK_CATALOG, then `catalog` in vecrollback.toml, "
        "then SQLite in the store. Leave the password to PGPASSWORD or ~/.pgpass.",
        rich_help_panel=SHARED_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Session:
    """What was asked for besides the command itself."""

    as_json: bool = False
    uri: str | None = None
    catalog: str | None = None

    def narrowed(self, as_json: bool, uri: str | None, catalog: str | None) -> Session:
        """The options as given further to the right, where they win."""
        return Session(
            self.as_json or as_json,
            uri if uri is not None else self.uri,
            catalog if catalog is not None else self.catalog,
        )

    @contextlib.contextmanager
    def store(self, *, create: bool = False, embedder: str | None = None) -> Iterator[Store]:
        """Open the store for one command. Raises StoreNotFoundError."""
        from vecrollback.store.store import connect

        store = connect(self.uri, catalog=self.catalog, create=create, embedder=embedder)
        try:
            if (setback := store.setback()) is not None:
                output.note(f"warning: {setback}; moves and writes are refused, `vecrollback reconcile` mends it")
            yield store
        except KeyboardInterrupt:
            raise  # closing would wait for whatever is not to be waited for any longer; every write survives this
        except BaseException:
            store.close()
            raise
        store.close()

    def emit(self, payload: Json, text: Callable[[], Iterable[Part]]) -> None:
        """Print a result on stdout: the payload under `--json`, else the text, which is only made then."""
        if self.as_json:
            output.print_json(payload)
        else:
            output.print_text(text())

    def watch(self, *, finish: bool = False, cure: str = AGAIN) -> ProgressDisplay:
        """Progress and Ctrl-C for long work; see `ProgressDisplay`."""
        return ProgressDisplay(finish=finish, as_json=self.as_json, cure=cure)


def common(
    ctx: typer.Context, as_json: JsonOption = False, store: StoreOption = None, catalog: CatalogOption = None
) -> None:
    # Callback of every group, so that the shared options work before the command's name too.
    ctx.obj = (ctx.obj or Session()).narrowed(as_json, store, catalog)


class Command(TyperCommand):
    """A command whose help is shown as it is written: `[policy]` is a section of a file, not markup."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from rich.markup import escape

        shown = copy.copy(self)
        shown.help, shown.epilog = escape(self.help or ""), escape(self.epilog or "")
        shown.params = [copy.copy(parameter) for parameter in self.params]
        for parameter in shown.params:
            if isinstance(parameter, TyperOption | TyperArgument):
                parameter.help = escape(parameter.help or "")
        super(Command, shown).format_help(ctx, formatter)


def command(
    app: typer.Typer,
    name: str | None = None,
    *,
    returns: str,
    examples: Sequence[str] = (),
    alone: bool = False,
    speaks_by_itself: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function whose first argument is the Session; typer gets the others and the shared options.

    `returns`: the keys of the JSON document, for `--help` and the reference. `alone`: it is what a group does when no
    command of it is named. `speaks_by_itself`: it runs until somebody ends it, or asks questions; of any other one a
    line says every few seconds what it is doing.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def call(ctx: typer.Context, as_json: bool, store: str | None, catalog: str | None, **values: Any) -> None:
            _refuse_broken_text(values)
            session = (ctx.obj or Session()).narrowed(as_json, store, catalog)
            if alone and ctx.invoked_subcommand is not None:
                ctx.obj = session
                return
            try:
                with nullcontext() if speaks_by_itself else Heartbeat(ctx.command_path.partition(" ")[2]):
                    function(session, **values)
            except KeyboardInterrupt:
                raise JobCancelledError("stopped", hint="`vecrollback status` shows what is done") from None
            sys.stdout.flush()  # here a closed pipe can still be dealt with quietly, at interpreter exit it cannot

        signature = _with_common(function)
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        if alone:
            app.callback(invoke_without_command=True, epilog=_epilog(examples, returns))(call)
        else:
            app.command(name, cls=Command, epilog=_epilog(examples, returns))(call)
        return function

    return register


def _refuse_broken_text(values: dict[str, Any]) -> None:
    # Bytes that are not UTF-8 arrive as lone surrogates. Paths may hold them; names, ids and texts may not.
    for name, value in values.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
                raise UsageError(f"{name} {text!a} is not valid UTF-8")


def _with_common(function: Callable[..., None]) -> inspect.Signature:
    signature = inspect.signature(function, eval_str=True)
    _, *own = signature.parameters.values()
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context),
        *(parameter.replace(kind=keyword) for parameter in own),
        inspect.Parameter("as_json", keyword, default=False, annotation=JsonOption),
        inspect.Parameter("store", keyword, default=None, annotation=StoreOption),
        inspect.Parameter("catalog", keyword, default=None, annotation=CatalogOption),
    ]
    return signature.replace(parameters=parameters)


def _epilog(examples: Sequence[str], returns: str) -> str:
    shown = ["\n".join(["Examples:", *(f"  vecrollback {example}" for example in examples)])] if examples else []
    return "\n\n".join([*shown, f"JSON: {returns}"])
