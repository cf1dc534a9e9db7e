"""Bring in an index that is kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.examination import (
    BoundOption,
    BudgetOption,
    ConfidenceOption,
    IdOption,
    SeedOption,
    SourceArgument,
    SuspectOption,
    TextOption,
    TextsOption,
    VectorOption,
    proof,
)
from vecrollback.cli.support.options import IndexOption, NameOption
from vecrollback.cli.support.session import Session, command

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part
    from vecrollback.reembedding.adopt import AdoptResult


app = typer.Typer(add_completion=False)


@command(
    app,
    returns="{pair, documents, known, changed, left, gone, reused, embedded, foreign, damaged, split, left_out, "
    "examination: as doctor prints it, check: report}",
    examples=[
        "adopt vectors.npy --texts rows.jsonl --model sentence-transformers/all-MiniLM-L6-v2 --name v1",
        "adopt 'postgresql://app@db/app#documents' --model ./my-model --name v1 --in-place",
    ],
)
def adopt(
    session: Session,
    source: SourceArgument,
    model: Annotated[str, typer.Option(metavar="EMBEDDER", help="The model that made the vectors.")],
    name: NameOption = None,
    index: IndexOption = "auto",
    texts: TextsOption = None,
    suspect: SuspectOption = None,
    budget: BudgetOption = None,
    bound: BoundOption = None,
    confidence: ConfidenceOption = "99%",  # type: ignore[assignment]
    seed: SeedOption = None,
    id_field: IdOption = None,
    text_field: TextOption = None,
    vector_field: VectorOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that are not documents.")] = False,
    override: Annotated[
        bool, typer.Option("--override", help="Delete also more than half of what was taken, where it is gone.")
    ] = False,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Leave the vectors in PostgreSQL, Qdrant, Chroma, Milvus or LanceDB, where they are.",
        ),
    ] = False,
) -> None:
    """Bring an index kept elsewhere in as a pair; again, to sync it.

    Embeds only the texts whose vectors an audit does not show to be the model's. Once more with the same --name, it
    takes what the source has changed, added or lost since; what was written or deleted here stays as it is here.
    """
    from vecrollback.quality.doctor import ColumnNames

    with session.store() as store, session.watch() as watch:
        done = store.adopt(
            source,
            model=model,
            name=name,
            index=index,
            texts=texts,
            suspects=tuple(suspect or ()),
            budget=budget,
            bound=bound,
            confidence=confidence,
            seed=seed,
            fields=ColumnNames(id_field, text_field, vector_field),
            skip_bad=skip_bad,
            override=override,
            in_place=in_place,
            progress=watch,
        )
    session.emit(done.as_json(), lambda: _adopted(done))
    if done.report is not None and done.report.verdict != "pass":
        raise typer.Exit(1)


def _adopted(done: AdoptResult) -> Iterator[Part]:
    yield f"pair {done.pair}: {done.documents:,} documents, {done.known:,} of them known before"
    if done.changed or done.left or done.gone:
        yield f"since the last time {done.changed:,} changed there and {done.gone:,} are gone; both taken over"
        yield f"{done.left:,} that were written or deleted here stay as they are here"
    why = {"foreign": done.foreign, "damaged": done.damaged, "split otherwise by the model": done.split}
    causes = ", ".join(f"{count:,} {cause}" for cause, count in why.items() if count)
    yield f"{done.reused:,} vectors taken over, {done.embedded:,} texts embedded{f' ({causes})' if causes else ''}"
    if done.left_out:
        yield f"{done.left_out:,} rows left out: they are not documents"
    yield from proof(done.examination)
    if done.report is not None:
        yield from render.report(done.report)
