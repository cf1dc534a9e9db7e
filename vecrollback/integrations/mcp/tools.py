"""What an agent may do with a store, as tools of a server. No tool that changes anything is there unless asked for."""

# No `from __future__ import annotations`: the tools' annotations name functions of the same scope, and are evaluated.

import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, ParamSpec, TypeVar

from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from vecrollback.errors import AccessDeniedError, UnknownNameError, VecrollbackError
from vecrollback.integrations.mcp.callers import Callers
from vecrollback.records import Json, SearchMode
from vecrollback.serving.searcher import Searcher
from vecrollback.store import payloads
from vecrollback.store.store import Store
from vecrollback.store.tokens import reaches

P = ParamSpec("P")
R = TypeVar("R")
Payload = dict[str, Json]

_INSTRUCTIONS = """\
A vector store whose documents can be searched by meaning. Each answer says in `pair` and `epoch` which embedding model
gave it. `stale: true` on a hit means its document changed after it was embedded; its text is today's.
If an error has a hint, do what the hint says."""
_OPERATOR_INSTRUCTIONS = """
You may also move the store to another embedding model (`promote`) or back (`rollback`). Both ask a person first."""

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_CHECKS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_MOVES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False)
_MAX_K = 100

K = Annotated[int, Field(ge=1, le=_MAX_K, description="How many documents at most.")]
Namespace = Annotated[str | None, Field(description="Of the documents. Default: those that are in none.")]
Confirm = Annotated[
    str, Field(description="Leave it empty. Where you cannot ask a person, the error tells what to put here.")
]


class Confirmation(BaseModel):
    """A person's answer."""

    yes: bool = Field(description="Yes, do it now")


def create_server(
    store: Store, searcher: Searcher, *, operator: bool = False, callers: Callers | None = None
) -> MCPServer[Any]:
    """Make a server over an open store.

    Args:
        store: The store. It stays open for as long as the server runs.
        searcher: What searches it. It follows the live pointer, so no answer comes from a pair that was left.
        operator: Add `check`, `promote` and `rollback`.
        callers: Who may do what, where requests come over HTTP. None: whoever reaches the server may use every tool.

    Returns:
        The server. Run it with `serve_stdio` or `serve_http`.

    Example:
        >>> import asyncio
        >>> with store.searcher() as searcher:
        ...     server = create_server(store, searcher)
        ...     [tool.name for tool in asyncio.run(server.list_tools())]
        ['search', 'document', 'status', 'compare', 'incidents']
    """
    instructions = _INSTRUCTIONS + (_OPERATOR_INSTRUCTIONS if operator else "")
    server: MCPServer[Any] = MCPServer("vecrollback", instructions=instructions, log_level="WARNING")
    _add_reading(server, store, searcher)
    if operator:
        _add_operating(server, store, callers or Callers(store, anonymous=True))
    return server


def _add_reading(server: MCPServer[Any], store: Store, searcher: Searcher) -> None:
    @_tool(server, _READS)
    def search(
        query: Annotated[str, Field(description="The words to search for.")],
        k: K = 5,
        where: Annotated[
            dict[str, Any] | str | None,
            Field(description='A filter over the metadata, such as {"year": {"$gte": 2024}} or `year >= 2024`.'),
        ] = None,
        namespace: Namespace = None,
        mode: Annotated[SearchMode, Field(description="By meaning, by the words themselves, or by both.")] = "vector",
    ) -> Payload:
        """Find the documents that are nearest to a query."""
        return payloads.result(searcher.search(query, k, where, namespace, mode))

    @_tool(server, _READS)
    def document(
        id: Annotated[str, Field(description="As `search` returned it.")], namespace: Namespace = None
    ) -> Payload:
        """Read one whole document."""
        found = store.get([id], namespace)
        if id not in found:
            raise UnknownNameError(f"there is no document {id!r}", hint="`search` finds documents and their ids")
        return asdict(found[id])

    @_tool(server, _READS)
    def status() -> Payload:
        """Tell which pair of model and index is live, how far it is behind, and where a rollback would go."""
        return payloads.status(store)

    @_tool(server, _READS)
    def compare(
        a: Annotated[str, Field(description="A pair, as `status` names it.")],
        b: Annotated[str, Field(description="Another pair.")],
        query: Annotated[str | None, Field(description="Ask both this. Default: every golden query.")] = None,
        k: K = 10,
    ) -> Payload:
        """Compare the answers of two pairs: to one query, or, with measures of quality, to all golden queries."""
        if query is not None:
            return payloads.compared(store.inspection.compare(query, a, b, k))
        return payloads.comparison(store.quality.compare(a, b, k=k))

    @_tool(server, _READS)
    def incidents(
        number: Annotated[int | None, Field(ge=1, description="Only this one, whole.")] = None,
        limit: Annotated[int, Field(ge=1, le=_MAX_K, description="The newest ones.")] = 10,
    ) -> Payload:
        """Read the records of rollbacks: when, why, from where to where, and what proved it."""
        one_or_many = store.incidents.all(limit=limit) if number is None else [store.incidents.get(number)]
        return {"incidents": [asdict(one) for one in one_or_many]}


def _add_operating(server: MCPServer[Any], store: Store, callers: Callers) -> None:
    def operator(ctx: Context[Any, Any]) -> str:
        caller = callers.identify((ctx.headers or {}).get("authorization"))
        if not reaches(caller.role, "operator"):
            raise AccessDeniedError(
                f"token {caller.name!r} has the role {caller.role}; this needs operator",
                hint="`vecrollback token create --role operator`",
            )
        return caller.name

    @_named_errors
    def confirm_promote(ctx: Context[Any, Any], pair: str, confirm: str) -> Confirmation | Elicit[Confirmation]:
        operator(ctx)
        pointer = store.status()["alias"].get("live")
        now = f" in place of {pointer['pair']}@{pointer['snapshot']} at epoch {pointer['epoch']}" if pointer else ""
        return _question(ctx, f"promote {store.pair(pair).ref}{now}", confirm)

    @_named_errors
    def confirm_rollback(ctx: Context[Any, Any], to: str | None, confirm: str) -> Confirmation | Elicit[Confirmation]:
        operator(ctx)
        pointer = store.status()["alias"].get("live")
        now = f" from {pointer['pair']}@{pointer['snapshot']} at epoch {pointer['epoch']}" if pointer else ""
        return _question(ctx, f"roll back to {store.rollback_target(to).ref}{now}", confirm)

    @_tool(server, _CHECKS)
    def check(
        ctx: Context[Any, Any], pair: Annotated[str | None, Field(description="Default: the live one.")] = None
    ) -> Payload:
        """Check a pair against the documents: every one in it, every vector of its own model. May take minutes."""
        operator(ctx)
        return payloads.report(store.check(pair))

    @_tool(server, _MOVES)
    def promote(
        ctx: Context[Any, Any],
        pair: Annotated[str, Field(description="The pair that shall serve.")],
        reason: Annotated[str, Field(description="Why; it is kept in the history.")],
        confirmation: Annotated[Confirmation, Resolve(confirm_promote)],
        confirm: Confirm = "",  # noqa: ARG001 - the question reads it
    ) -> Payload:
        """Let another pair serve, after its catch-up, check and gates. A person is asked first."""
        _require(confirmation)
        return payloads.switched(store.promote(pair, reason=reason, actor=operator(ctx)))

    @_tool(server, _MOVES)
    def rollback(
        ctx: Context[Any, Any],
        reason: Annotated[str, Field(description="Why; it is kept in the history.")],
        confirmation: Annotated[Confirmation, Resolve(confirm_rollback)],
        to: Annotated[str | None, Field(description="Default: the last pair that served and is fit.")] = None,
        confirm: Confirm = "",  # noqa: ARG001 - the question reads it
    ) -> Payload:
        """Go back to a pair that served before: model and index together. A person is asked first."""
        _require(confirmation)
        return payloads.switched(store.rollback(to, reason=reason, actor=operator(ctx)))


def _question(ctx: Context[Any, Any], move: str, confirm: str) -> Confirmation | Elicit[Confirmation]:
    """Ask the person at the client, or take the exact words of the move where the client cannot ask.

    The words name where the pointer stands and its epoch: a yes that was given before somebody moved it counts no more.
    """
    capabilities = ctx.client_capabilities
    asking = capabilities.elicitation if capabilities is not None else None
    if asking is not None and (asking.form is not None or asking.url is None):
        return Elicit(f"Shall vecrollback {move}?", Confirmation)
    if confirm != move:
        raise ToolError(
            f"nothing was moved: a person has to agree to this: {move}\n"
            f'hint: ask one, then call this tool again with confirm="{move}"'
        )
    return Confirmation(yes=True)


def _require(confirmation: Confirmation) -> None:
    if not confirmation.yes:
        raise ToolError("nothing was moved: the person who was asked said no")


def _tool(server: MCPServer[Any], annotations: ToolAnnotations) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def register(function: Callable[P, R]) -> Callable[P, R]:
        tool = _named_errors(function)
        server.add_tool(tool, annotations=annotations, structured_output=False)
        return tool

    return register


def _named_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Let an agent read what is wrong and the cure; of other exceptions the protocol's library says nothing."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except VecrollbackError as error:
            hint = f"\nhint: {error.hint}" if error.hint else ""
            raise ToolError(f"{type(error).__name__}: {error.message}{hint}") from error

    return call
