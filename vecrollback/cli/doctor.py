"""Examine an index that is kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vecrollback.cli.support.examination import (
    BoundOption,
    BudgetOption,
    ConfidenceOption,
    IdOption,
    LayoutOption,
    SeedOption,
    SuspectOption,
    TemplateOption,
    TextOption,
    TextsOption,
    VectorOption,
    WhereRowsOption,
    proof,
)
from vecrollback.cli.support.output import typed
from vecrollback.cli.support.session import Session, command
from vecrollback.cli.support.tables import Rows
from vecrollback.errors import UsageError

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part
    from vecrollback.quality.doctor import Examination, ExaminationByField, SourceDifference


app = typer.Typer(add_completion=False)
_SHOWN_IDS = 5
OptionalSource = Annotated[
    str | None,
    typer.Argument(metavar="[SOURCE]", help="As `adopt` takes it, such as vectors.npy or lancedb:PATH#table."),
]

ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="EMBEDDER", help="The model that should have made the vectors; without it nothing is embedded."
    ),
]
ByOption = Annotated[
    str | None, typer.Option(metavar="FIELD", help="A verdict for each value of a field, a tenant for example.")
]
AgainstOption = Annotated[
    str | None,
    typer.Option(metavar="OLDER_SOURCE", help="What differs from an older state of it, by row; embeds nothing."),
]
GoldenOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Queries with their right answers, to tell what it costs.")
]
FailOption = Annotated[
    Literal["foreign", "unknown"] | None,
    typer.Option(help="Exit with 1 when the verdict is fail; with `unknown` also when it is unknown."),
]
InstallationOption = Annotated[
    bool,
    typer.Option("--installation", help="Examine this machine for the store: models, memory, clock ..."),
]


@command(
    app,
    returns="{source, vectors, dimension, verdict: pass|fail|unknown, findings: [{kind, count, ids, batches, message, "
    "severity}], certificate: {sampled, foreign, population, bound, confidence, sensitivity}|null, model, facts, "
    "audit: {stopped, examined, embedded, suspected, floor, storage, power, culprit, harm, not_examined, batches, "
    "times}|null}; with --by {source, by, verdict, groups: [{value, ...}]}; with --against also against: {older, "
    "unchanged, new: {count, ids}, gone, changed, embedded_anew, stale}; with "
    "--installation {installation: [{name, state: ok|note|alert|unknown, sentence, command}]}",
    examples=[
        "doctor vectors.npy --texts rows.jsonl --model sentence-transformers/all-MiniLM-L6-v2 --budget 2%",
        "doctor lancedb:./db#docs --model ./my-model --suspect ./my-old-model --html report.html",
        "doctor 'postgresql://me@db/app#docs' --model ./my-model --fail-on unknown",
        "doctor --installation",
        "doctor 'postgresql://me@db/app#langchain_pg_embedding' --model ./my-model --by collection_id",
        "doctor docs.parquet --model ./my-model --template '{title}\\n\\n{body}'",
        "doctor chroma:./db#docs --against chroma:./backup#docs",
    ],
)
def doctor(
    session: Session,
    source: OptionalSource = None,
    texts: TextsOption = None,
    model: ModelOption = None,
    suspect: SuspectOption = None,
    budget: BudgetOption = None,
    bound: BoundOption = None,
    confidence: ConfidenceOption = "99%",  # type: ignore[assignment]
    seed: SeedOption = None,
    id_field: IdOption = None,
    text_field: TextOption = None,
    vector_field: VectorOption = None,
    where: WhereRowsOption = None,
    by: ByOption = None,
    template: TemplateOption = None,
    layout: LayoutOption = None,
    against: AgainstOption = None,
    golden: GoldenOption = None,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="The answers, where FILE holds none.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report with pictures, one file.")] = None,
    fail_on: FailOption = None,
    installation: InstallationOption = False,
) -> None:
    """Examine an index kept elsewhere; it is only read.

    Tells what is wrong with it, and which vectors the named model did not make. Needs no store. With --installation it
    examines what this machine needs to serve the store; exit code 1 when something is wrong.
    """
    if installation:
        _installation(session)
        return
    if source is None:
        raise UsageError("there is nothing to examine", hint="name a SOURCE, or `vecrollback doctor --installation`")
    from vecrollback.quality import doctor as examination
    from vecrollback.quality.evaluation.judgements import read_queries

    judged = read_queries(golden, qrels) if golden else ()
    suspects, points = tuple(suspect or ()), 1_500 if html else 0
    request = examination.ExaminationRequest(model, suspects, budget, bound, confidence, seed, points, judged)
    fields = examination.ColumnNames(id_field, text_field, vector_field)
    reading = examination.SourceReading(where, template.replace("\\n", "\n") if template else None, layout)
    opened = partial(examination.ForeignIndex, texts=texts, fields=fields, reading=reading)
    with session.watch() as watch, opened(source) as index:
        if by is not None:
            groups = examination.examine_by(index, by, request, watch)
            session.emit(groups.as_json(), lambda: _by_value(groups))
            _end(groups.verdict, fail_on)
            return
        found = examination.examine_source(index, request, watch)
        difference = None
        if against is not None:
            with opened(against) as older:
                difference = examination.compare_sources(index, older)
    if html is not None:
        examination.write_html(found, html, typed())
    content = found.as_json() | ({"against": difference.as_json()} if difference else {})
    session.emit(content, lambda: [*_shown(found), *(_differs(difference) if difference else ())])
    _end(found.verdict, fail_on)


def _end(verdict: str, fail_on: str | None) -> None:
    if verdict in {None: (), "foreign": ("fail",), "unknown": ("fail", "unknown")}[fail_on]:
        raise typer.Exit(1)


def _installation(session: Session) -> None:
    with session.store() as store:
        lines = store.installation()
    rows = [(line.state, line.name, line.sentence, line.command) for line in lines]
    table = Rows(("state", "about", "what there is", "cure"), rows)
    session.emit({"installation": [asdict(line) for line in lines]}, lambda: [table])
    if any(line.state == "alert" for line in lines):
        raise typer.Exit(1)


def _by_value(groups: ExaminationByField) -> Iterator[Part]:
    yield f"{groups.source} by {groups.field}: {groups.verdict}"
    yield Rows(
        (groups.field, "vectors", "verdict", "found"),
        (
            (
                value or "(none)",
                one.vectors,
                one.verdict,
                "; ".join(f"{f.count:,} {f.kind}" for f in one.findings) or None,
            )
            for value, one in groups.examinations.items()
        ),
        right=("vectors",),
    )


def _differs(difference: SourceDifference) -> Iterator[Part]:
    yield ""
    yield f"against {difference.older}: {difference.unchanged:,} rows unchanged"
    words = {
        "new": "new",
        "gone": "gone",
        "changed": "text and vector changed",
        "embedded_anew": "another vector of the same text",
        "stale": "another text under the same vector: not embedded again",
    }
    rows = [(what, getattr(difference, name)) for name, what in words.items()]
    yield Rows(
        ("rows", "count", "ids"),
        ((what, one.count, _ids(one.ids, one.count) or None) for what, one in rows),
        right=("count",),
    )


def _shown(found: Examination) -> Iterator[Part]:
    facts = found.facts
    yield f"{found.source}: {found.verdict}"
    metric = facts["metric"] or "metric not recorded"
    yield f"{found.vectors:,} vectors of {found.dimension} numbers, {facts['stored']}, {metric}"
    if facts["unit_share"] is not None:
        yield f"{facts['unit_share']:.1%} of unit length; {facts['texts']:,} with a text"
    if facts["models"]:
        yield "models recorded: " + ", ".join(f"{name} {count:,}" for name, count in facts["models"].items())
    if "stamp" in facts:
        yield f"stamped with {facts['stamp']['spec']} at {facts['stamp']['at']}"
    if found.findings:
        yield ""
        yield Rows(
            ("severity", "kind", "count", "found", "ids", "batches"),
            (
                (f.severity, f.kind, f.count, f.message, _ids(f.ids, f.count), ", ".join(map(str, f.batches)) or None)
                for f in found.findings
            ),
            right=("count",),
        )
        yield ""
    yield from proof(found)


def _ids(ids: tuple[str, ...], count: int) -> str:
    more = f" and {count - _SHOWN_IDS:,} more" if count > _SHOWN_IDS else ""
    return ", ".join(ids[:_SHOWN_IDS]) + more
