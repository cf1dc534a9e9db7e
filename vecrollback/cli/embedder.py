"""Commands on embedders: show, equate, keep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.session import Session, command, common

app = typer.Typer(callback=common, help="Show an embedder, keep a pair's model, or declare two of them to be one.")


@command(
    app,
    returns="{spec, fingerprint, dimension, metric, contract}",
    examples=["embedder show sentence-transformers/all-MiniLM-L6-v2", "embedder show 'hash:64?seed=1'"],
)
def show(session: Session, spec: Annotated[str, typer.Argument(help="The embedder, as `reembed` takes it.")]) -> None:
    """Show what an embedder is: its fingerprint, and everything that can change one of its vectors."""
    from vecrollback.embedders import open_embedder

    embedder = open_embedder(spec)
    facts = {
        "spec": embedder.spec,
        "fingerprint": embedder.fingerprint,
        "dimension": embedder.dimension,
        "metric": embedder.metric,
    }
    contract = dict(embedder.contract)
    embedder.close()
    session.emit({**facts, "contract": contract}, lambda: [render.facts(facts), "", "contract", render.facts(contract)])


@command(
    app,
    returns="{a, b, cosine}",
    examples=["embedder equate v1 'openai:all-minilm?base_url=http://gpu:8000/v1'"],
)
def equate(
    session: Session,
    a: Annotated[str, typer.Argument(help="A pair's name or an embedder.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
) -> None:
    """Declare two embedders to be one model behind two servers or runtimes; refused unless their probes agree."""
    with session.store() as store:
        cosine = store.equate(a, b)
    line = f"{a} and {b} are one model: the worst probe has cosine {cosine:.6f}"
    session.emit({"a": a, "b": b, "cosine": cosine}, lambda: [line])


@command(app, returns="{pair, artifact, bytes, at}, or null for a model without files", examples=["embedder keep v1"])
def keep(session: Session, pair: Annotated[str, typer.Argument(help="The pair's name.")]) -> None:
    """Keep the files of a pair's model in the store, so that nothing that happens to the original changes the pair."""
    with session.store() as store:
        kept = store.keep_model(pair)
    line = f"kept the model of {pair}: {kept.bytes:,} bytes" if kept else f"the model of {pair} has no files to be kept"
    session.emit(asdict(kept) if kept else None, lambda: [line])
