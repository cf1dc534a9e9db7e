"""What `doctor` and `adopt` share: options, and how an examination reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support.options import share

if TYPE_CHECKING:
    from vecrollback.quality.doctor import Examination


SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="vectors.npy, faiss:FILE, parquet:FILE, lancedb:PATH#table, postgresql://...#table, sqlite:FILE#table, "
        "chroma:PATH#collection, qdrant:http://...#collection, milvus:..., elasticsearch:http://...#index, FILE.csv, "
        "FILE.jsonl, faiss:FOLDER, llama-index:FOLDER and more: docs/how-to/examine.md",
    ),
]
TextsOption = Annotated[
    Path | None,
    typer.Option("--texts", metavar="FILE", help="JSON lines beside vectors alone: `id` and `text`, in order."),
]
IdOption = Annotated[str | None, typer.Option("--id-field", metavar="FIELD", help="Field of the id.")]
TextOption = Annotated[str | None, typer.Option("--text-field", metavar="FIELD", help="Field of the text.")]
VectorOption = Annotated[str | None, typer.Option("--vector-field", metavar="FIELD", help="Field of the vector.")]
WhereRowsOption = Annotated[
    str | None,
    typer.Option("--where", metavar="EXPR", help="Only rows that match, a filter as in searches: `lang = 'en'`."),
]
TemplateOption = Annotated[
    str | None,
    typer.Option("--template", metavar="T", help="What was embedded of a row: '{title}\\n\\n{body}'."),
]
LayoutOption = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="NAME",
        help="The application that wrote the rows, where it is not recognised: langchain, llama-index, haystack, "
        "open-webui, flowise, dify, txtai.",
    ),
]
SuspectOption = Annotated[
    list[str] | None,
    typer.Option("--suspect", metavar="EMBEDDER", help="A model that may have made some of them; repeatable."),
]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", metavar="N|SHARE", help="Texts to embed at most: 500, or 2% of the rows.")
]
BoundOption = Annotated[
    float | None,
    typer.Option(
        "--bound",
        parser=share,
        metavar="SHARE",
        help="Largest share of foreign vectors to rule out among those not embedded again. Default: 1%; with --budget "
        "what that gives, up to 5%.",
    ),
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence", parser=share, metavar="SHARE", help="With what certainty.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", metavar="N", help="Draw the same sample again.")]


def proof(found: Examination) -> Iterator[str]:
    audited, certificate = found.audit, found.certificate
    if audited is None or certificate is None:
        yield "no model was asked: `--model EMBEDDER` finds the vectors that it did not make"
        return
    spent = sum(audited.embedded.values())
    compared = f"{audited.examined:,} vectors compared with {found.model}: {len(audited.rows):,} foreign"
    yield f"{spent:,} texts embedded, {compared}"
    if certificate.population:
        sure = f"at {certificate.confidence:.0%} confidence"
        yield f"of the {certificate.population:,} others at most {certificate.bound:.2%} are foreign, {sure}"
    elif audited.examined == found.vectors:
        yield "everything was embedded: certain"
    if audited.suspected:
        yield f"{audited.suspected:,} more look foreign: raise --budget"
