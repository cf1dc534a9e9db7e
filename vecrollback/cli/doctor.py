"""Commands for vectors that already exist elsewhere: doctor, adopt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vecrollback.cli import render
from vecrollback.cli.check import share
from vecrollback.cli.session import Session, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from vecrollback.quality.doctor import Examination
    from vecrollback.reembedding.adopt import AdoptResult

app = typer.Typer()
_PANEL = "Indexes elsewhere"
_SHOWN_IDS = 5

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="vectors.npy, faiss:FILE, parquet:FILE, arrow:FILE, lancedb:PATH#table, postgresql://...#table, "
        "chroma:PATH#collection, qdrant:PATH#collection or qdrant:http://...#collection",
    ),
]
TextsOption = Annotated[
    Path | None,
    typer.Option("--texts", metavar="FILE", help="JSON lines beside .npy and FAISS files: `id` and `text`, in order."),
]
IdOption = Annotated[str | None, typer.Option("--id-field", metavar="FIELD", help="Field of the id.")]
TextOption = Annotated[str | None, typer.Option("--text-field", metavar="FIELD", help="Field of the text.")]
VectorOption = Annotated[str | None, typer.Option("--vector-field", metavar="FIELD", help="Field of the vector.")]
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


@command(
    app,
    panel=_PANEL,
    returns="{source, vectors, dimension, verdict: pass|fail|unknown, findings: [{kind, count, ids, batches, message, "
    "severity}], certificate: {sampled, foreign, population, bound, confidence, sensitivity}|null, model, facts, "
    "audit: {stopped, examined, embedded, suspected, floor, storage, culprit, harm, not_examined, batches, "
    "times}|null}",
    examples=[
        "doctor vectors.npy --texts rows.jsonl --model sentence-transformers/all-MiniLM-L6-v2 --budget 2%",
        "doctor lancedb:./db#docs --model ./my-model --suspect ./my-old-model --html report.html",
        "doctor 'postgresql://me@db/app#docs' --model ./my-model --fail-on unknown",
    ],
)
def doctor(
    session: Session,
    source: SourceArgument,
    texts: TextsOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="EMBEDDER", help="The model that should have made the vectors; without it nothing is embedded."
        ),
    ] = None,
    suspect: SuspectOption = None,
    budget: BudgetOption = None,
    bound: BoundOption = None,
    confidence: ConfidenceOption = "99%",  # type: ignore[assignment]
    seed: SeedOption = None,
    id_field: IdOption = None,
    text_field: TextOption = None,
    vector_field: VectorOption = None,
    golden: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Queries with their right answers, to tell what it costs.")
    ] = None,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="The answers, where FILE holds none.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with pictures, one file.")] = None,
    fail_on: Annotated[
        Literal["foreign", "unknown"] | None,
        typer.Option(help="Exit with 1 when the verdict is fail; with `unknown` also when it is unknown."),
    ] = None,
) -> None:
    """Examine an index that is kept elsewhere, which is only read: what is wrong with it, and which model made it."""
    from vecrollback.quality.doctor import ColumnNames, examine, write_html
    from vecrollback.quality.evaluation.judgements import read_queries

    with session.watch() as watch:
        found = examine(
            source,
            texts=texts,
            model=model,
            suspects=suspect or (),
            budget=budget,
            bound=bound,
            confidence=confidence,
            seed=seed,
            fields=ColumnNames(id_field, text_field, vector_field),
            points=1_500 if html else 0,
            golden=read_queries(golden, qrels) if golden else (),
            progress=watch,
        )
    if html is not None:
        write_html(found, html)
    session.emit(found.as_json(), lambda: _shown(found))
    if found.verdict in {None: (), "foreign": ("fail",), "unknown": ("fail", "unknown")}[fail_on]:
        raise typer.Exit(1)


@command(
    app,
    panel=_PANEL,
    returns="{pair, documents, known, reused, embedded, foreign, damaged, split, left_out, examination: as doctor "
    "prints it, check: report}",
    examples=["adopt vectors.npy --texts rows.jsonl --model sentence-transformers/all-MiniLM-L6-v2 --name v1"],
)
def adopt(
    session: Session,
    source: SourceArgument,
    model: Annotated[str, typer.Option(metavar="EMBEDDER", help="The model that made the vectors.")],
    name: Annotated[str | None, typer.Option(help="Name of the pair. Default: from the embedder.")] = None,
    index: Annotated[
        str, typer.Option(metavar="SPEC", help="auto, a FAISS factory string, lance:..., or shards:N(SPEC)")
    ] = "auto",
    texts: TextsOption = None,
    suspect: SuspectOption = None,
    budget: BudgetOption = None,
    bound: BoundOption = None,
    confidence: ConfidenceOption = "99%",  # type: ignore[assignment]
    seed: SeedOption = None,
    id_field: IdOption = None,
    text_field: TextOption = None,
    vector_field: VectorOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that are no documents.")] = False,
) -> None:
    """Bring an index that is kept elsewhere in as a pair; embeds only what an audit does not show to be the model's."""
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
            progress=watch,
        )
    session.emit(done.as_json(), lambda: _adopted(done))
    if done.report is not None and done.report.verdict != "pass":
        raise typer.Exit(1)


def _adopted(done: AdoptResult) -> Iterator[RenderableType]:
    yield f"pair {done.pair}: {done.documents:,} documents, {done.known:,} of them known before"
    why = {"foreign": done.foreign, "damaged": done.damaged, "split otherwise by the model": done.split}
    causes = ", ".join(f"{count:,} {cause}" for cause, count in why.items() if count)
    yield f"{done.reused:,} vectors taken over, {done.embedded:,} texts embedded{f' ({causes})' if causes else ''}"
    if done.left_out:
        yield f"{done.left_out:,} rows left out: they are no documents"
    yield from _proof(done.examination)
    if done.report is not None:
        yield from render.report(done.report)


def _shown(found: Examination) -> Iterator[RenderableType]:
    facts = found.facts
    yield f"{found.source}: {found.verdict}"
    metric = facts["metric"] or "metric not recorded"
    yield f"{found.vectors:,} vectors of {found.dimension} numbers, {facts['stored']}, {metric}"
    if facts["unit_share"] is not None:
        yield f"{facts['unit_share']:.1%} of unit length; {facts['texts']:,} with a text"
    if facts["models"]:
        yield "models recorded: " + ", ".join(f"{name} {count:,}" for name, count in facts["models"].items())
    if found.findings:
        yield ""
        yield render.table(
            ("severity", "kind", "count", "found", "ids", "batches"),
            (
                (f.severity, f.kind, f.count, f.message, _ids(f.ids, f.count), ", ".join(map(str, f.batches)) or None)
                for f in found.findings
            ),
            right=("count",),
        )
        yield ""
    yield from _proof(found)


def _proof(found: Examination) -> Iterator[str]:
    audited, proof = found.audited, found.certificate
    if audited is None or proof is None:
        yield "no model was asked: `--model EMBEDDER` finds the vectors that it did not make"
        return
    spent = sum(audited.embedded.values())
    compared = f"{audited.examined:,} vectors compared with {found.model}: {len(audited.rows):,} foreign"
    yield f"{spent:,} texts embedded, {compared}"
    if proof.population:
        sure = f"at {proof.confidence:.0%} confidence"
        yield f"of the {proof.population:,} others at most {proof.bound:.2%} are foreign, {sure}"
    if audited.suspected:
        yield f"{audited.suspected:,} more look foreign: raise --budget"


def _ids(ids: tuple[str, ...], count: int) -> str:
    more = f" and {count - _SHOWN_IDS:,} more" if count > _SHOWN_IDS else ""
    return ", ".join(ids[:_SHOWN_IDS]) + more
