"""Accept documents that can never be embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.cli.support.tables import Rows
from vecrollback.errors import UsageError
from vecrollback.records import UnembeddedDocument

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{pair, documents: [{pair, document, seq, job, reason, at, "
    "acceptance: {pair, document, seq, reason, actor, at}|null}]}",
    examples=["accept v1", "accept v1 d7 d9 --reason 'tables of digits'", "accept v1 d7 --withdraw"],
)
def accept(
    session: Session,
    pair: Annotated[str, typer.Argument(metavar="PAIR")],
    documents: Annotated[
        list[str] | None, typer.Argument(metavar="[DOCUMENT]...", help="Their ids. Default: list those there are.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept with each, and in the audit.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back that they were accepted.")] = False,
) -> None:
    """Accept by name documents that a model cannot embed.

    `check` then warns of them in place of `unknown`, and a promote needs no --override for them. A new text is embedded
    like any other. Without a document: list those without a vector, and who accepted them.
    """
    if not documents and (reason or withdraw):
        raise UsageError("no document is named", hint=f"`vecrollback accept {pair}` lists them")
    with session.store() as store:
        if not documents:
            listed = store.unembedded_documents(pair=pair)
        elif withdraw:
            listed = store.withdraw_acceptance(pair, documents)
        else:
            listed = store.accept(pair, documents, reason=reason)
    payload = {"pair": pair, "documents": [asdict(one) for one in listed]}
    session.emit(payload, lambda: _lines(pair, listed))


def _lines(pair: str, listed: Sequence[UnembeddedDocument]) -> list[str | Rows]:
    if not listed:
        return [f"the model of {pair} could embed every document"]
    said = [(one.acceptance.actor, one.acceptance.reason) if one.acceptance else (None, None) for one in listed]
    rows = [(one.document, one.seq, one.reason, *words) for one, words in zip(listed, said, strict=True)]
    return [Rows(("document", "seq", "what the model says", "accepted by", "because"), rows)]
