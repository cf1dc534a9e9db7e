"""Forecast a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.records import Forecast
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{embedder, live, sample, documents, queries, kind, difference: {measure, queries, a, b, difference, low, "
    "high, p}, error, bridged, overlap, seconds, tokens, dollars, "
    "slices: [{by: language|namespace|length, value, difference}], verdict, sentence}",
    examples=[
        "forecast all-MiniLM-L6-v2 --sample 5%",
        "forecast openai:text-embedding-3-small --sample 500",
        "forecast ./my-model --keep v2",
    ],
)
def forecast(
    session: Session,
    model: Annotated[str, typer.Argument(help="The embedder, as for `reembed`, or a pair.")],
    sample: Annotated[
        str, typer.Option(metavar="SHARE", help="Documents to embed at most: 500, or a share such as 5%.")
    ] = "5%",
    seed: Annotated[int | None, typer.Option(metavar="N", help="Draw the same sample again.")] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="NAME", help="A pair, made if need be, that keeps what was embedded.")
    ] = None,
) -> None:
    """Tell what a model would be worth, from a sample of the corpus.

    Golden queries decide; without them queries are generated from the corpus. Nothing is written without --keep; after
    it `reembed MODEL --name NAME` embeds only the rest.
    """
    with session.store() as store, session.watch() as watch:
        found = store.forecast(model, sample=sample, seed=seed, keep=keep, progress=watch)
    session.emit(payloads.forecast(found), lambda: _lines(found))


def _lines(found: Forecast) -> Iterator[str]:
    yield found.sentence
    if found.bridged is not None:
        one = found.bridged
        yield (
            f"its queries mapped into {found.live}, nothing re-embedded: nDCG@10 {one.b:.3f}, {one.difference:+.3f} "
            f"(95%: {one.low:+.3f} to {one.high:+.3f})"
        )
    for part in found.slices:
        one = part.difference
        interval = f"95%: {one.low:+.3f} to {one.high:+.3f}, {one.queries:,} queries"
        yield f"{part.by} {part.value or '(none)'}: {one.difference:+.3f} ({interval})"
    yield f"the same estimate is off by {found.error:.3f} for {found.live}"
    yield f"both models agree on {found.overlap:.0%} of the nearest documents of the sample"
    money = "" if found.dollars is None else f", ${found.dollars:,.2f}"
    yield f"embedding everything: {found.seconds:,.0f} s at the speed of the sample, {found.tokens:,} tokens{money}"
