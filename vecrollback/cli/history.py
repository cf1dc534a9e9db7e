"""List what was live; export the history, and verify it against what was exported."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command
from vecrollback.records import LIVE
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{moves: [{number, alias, epoch, kind, from, to, reason, actor, at, previous_hash, hash}]}",
    examples=["history --limit 5", "history --all"],
    alone=True,
)
def history(
    session: Session,
    alias: Annotated[str, typer.Option(metavar="NAME", help="Of another pointer, candidate for example.")] = LIVE,
    everything: Annotated[bool, typer.Option("--all", help="Of every pointer.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N.")] = None,
) -> None:
    """List the moves of the live pointer: when, where, who and why.

    Newest first. `history export` and `history verify` show whether somebody changed it.
    """
    with session.store() as store:
        moves = store.history(alias=None if everything else alias, limit=limit)
    session.emit(payloads.moves(moves), lambda: [render.history(moves)] if moves else ["nothing has moved yet"])


@command(app, returns="{path, number, hash, signed}", examples=["history export /elsewhere/history.json --sign"])
def export(
    session: Session,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where it is written; keep it outside of the store.")],
    sign: Annotated[bool, typer.Option("--sign", help="Sign it with the key of VECROLLBACK_KEY_FILE.")] = False,
) -> None:
    """Write every move into a file, to compare the history with later."""
    with session.store() as store:
        head = store.export_history(path, sign=sign)
    number, digest = (head.number, head.hash) if head else (0, "")
    line = f"wrote {counted(number, 'move')} to {path}; the last one has hash {digest or 'none'}"
    session.emit({"path": str(path), "number": number, "hash": digest, "signed": sign}, lambda: [line])


@command(
    app,
    returns="{verdict: pass|fail, moves, head, problems, notes}",
    examples=["history verify", "history verify --against /elsewhere/history.json --require-signature"],
)
def verify(
    session: Session,
    against: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="What `history export` wrote, or a notice as it was delivered; repeatable."),
    ] = None,
    require_signature: Annotated[
        bool, typer.Option("--require-signature", help="A file that the key did not sign is a problem.")
    ] = False,
) -> None:
    """Tell whether the history was changed, cut off or written anew. Exit code 1 if so.

    Compared with its own chain of hashes, it shows careless edits. Compared with files that were exported before, also
    what somebody did who can write the whole catalog.
    """
    with session.store() as store:
        proof = store.verify_history(against or (), require_signature=require_signature)
    lines = [f"{proof.verdict}: {counted(proof.moves, 'move')}, the last one has hash {proof.head or 'none'}"]
    lines += [f"problem: {problem}" for problem in proof.problems] + [f"note: {note}" for note in proof.notes]
    session.emit(asdict(proof), lambda: lines)
    if proof.verdict != "pass":
        raise typer.Exit(1)
