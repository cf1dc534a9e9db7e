"""Commands that build pairs and keep them up to date: reembed, pairs, catch-up, worker."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli import payloads, text
from vecrollback.cli.output import note
from vecrollback.cli.session import Session, command
from vecrollback.records import Json

if TYPE_CHECKING:
    from vecrollback.records import Pair, Switched
    from vecrollback.store import Store

app = typer.Typer()
_PANEL = "Pairs"
_PAIR = "{name, state, embedder, fingerprint, dimension, index, snapshot, watermark, lag, checked, reason}"


def _settings(value: str) -> dict[str, Json]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"no valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise typer.BadParameter("must be a JSON object")
    return parsed


@command(
    app,
    panel=_PANEL,
    returns=_PAIR.removesuffix("}") + ", already, promoted}",
    examples=[
        "reembed sentence-transformers/all-MiniLM-L6-v2 --name v1 --promote",
        "reembed 'openai:text-embedding-3-small?api_key_env=OPENAI_API_KEY' --name v2",
        "reembed ./my-model --name v3 --index HNSW32,Flat --settings '{\"threshold\": 0.4}'",
    ],
)
def reembed(
    session: Session,
    embedder: Annotated[str, typer.Argument(help="A hub name or directory, openai:MODEL?..., hash:DIM?seed=N, mod:fn.")],
    name: Annotated[str | None, typer.Option(help="Name of the pair. Default: from the embedder.")] = None,
    index: Annotated[str, typer.Option(metavar="SPEC", help="auto, a FAISS factory string, or lance:...")] = "auto",
    settings: Annotated[
        dict[str, Json] | None,
        typer.Option(metavar="JSON", parser=_settings, help="Free JSON that travels with the pair."),
    ] = None,
    recall_floor: Annotated[float, typer.Option(min=0, max=1, help="Least recall@10 of the index.")] = 0.95,
    promote: Annotated[bool, typer.Option("--promote", help="Let the pair serve once it is ready.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it is promoted, for the history.")] = "",
) -> None:
    """Build a pair from the log beside whatever serves; the same command resumes one that was cut off."""
    with session.store() as store:
        finished = {pair.name for pair in store.pairs() if pair.state != "building"}
        with session.watch() as watch:
            job = store.reembed(
                embedder, index=index, name=name, settings=settings, recall_floor=recall_floor, progress=watch
            )
            pair = job.wait()
            promoted = _promoted(store, pair, reason, watch) if promote else None
        row = payloads.pair(store, pair.name)
    already = pair.name in finished
    done = f"pair {pair.name} {'was finished already' if already else 'is ready'}: nothing to do" if already else ""
    said = done or f"pair {pair.name} is ready: snapshot {pair.ref}, dimension {pair.dimension}"
    payload = {**row, "already": already, "promoted": payloads.switched(promoted) if promoted else None}
    session.emit(payload, lambda: [said, *(text.switched(promoted) if promoted else [])])
