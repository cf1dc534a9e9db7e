"""Tell what building a pair would take."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support import render_jobs
from vecrollback.cli.support.options import EmbedderArgument, IndexOption, KeepModelOption, NameOption
from vecrollback.cli.support.session import Session, command

app = typer.Typer(add_completion=False)
PLAN = (
    "{pair, embedder, fingerprint, resumes, documents, reused, texts, chunks, tokens, counted, error, estimated, "
    "measured, tokens_per_second, seconds, price, dollars, index, disk, disk_free, stale_documents, stale_seconds, "
    "model_bytes, cut}"
)
PriceOption = Annotated[
    float | None, typer.Option(min=0, metavar="DOLLARS", help="Price of a million tokens. Default: the embedder's own.")
]


@command(
    app,
    returns=PLAN,
    examples=["plan ./my-model", "plan openai:text-embedding-3-small --price 0.02"],
)
def plan(
    session: Session,
    embedder: EmbedderArgument,
    name: NameOption = None,
    index: IndexOption = "auto",
    price: PriceOption = None,
    measure: Annotated[
        bool | None,
        typer.Option("--measure/--no-measure", help="Time a short run. Default: unless a service is paid for it."),
    ] = None,
    keep_model: KeepModelOption = None,
) -> None:
    """Estimate what `reembed` would take: time, money and disk.

    Counts documents, texts and tokens, and times a short run. Changes nothing.
    """
    with session.store() as store:
        estimate = store.plan(embedder, name=name, index=index, price=price, measure=measure, keep_model=keep_model)
    session.emit(asdict(estimate), lambda: render_jobs.plan(estimate))
