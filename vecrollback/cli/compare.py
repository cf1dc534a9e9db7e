"""Compare two pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support.output import counted, note, typed
from vecrollback.cli.support.session import Session, command
from vecrollback.cli.support.tables import Rows, clean
from vecrollback.records import AnsweredQuery, Comparison, SearchMode
from vecrollback.store import payloads

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part


app = typer.Typer(add_completion=False)
_WIDTH = 60


@command(
    app,
    returns="{a, b, k, queries, judged, absent, unjudged: [a, b], overlap, rbo, latency: [{p50, p99}, {p50, p99}], "
    "differences: [{measure, queries, a, b, difference, low, high, p, significant}], "
    "answered: [{id, text, a: {MEASURE: value}, b, overlap, rbo}], mode}",
    examples=["compare v1 v2", "compare v1 v2 --queries queries.jsonl --qrels qrels.tsv --html report.html"],
)
def compare(
    session: Session,
    a: Annotated[str, typer.Argument(help="A pair.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSONL as `golden import` takes it. Default: the golden queries."),
    ] = None,
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="Judgements of --queries.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", metavar="K", min=1, help="How deep to look.")] = 10,
    mode: Annotated[SearchMode, typer.Option(help="hybrid: with the words beside each pair's vectors.")] = "vector",
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report there too, one page.")] = None,
) -> None:
    """Ask two pairs the same queries, and compare their answers.

    Measures quality, overlap and latency, and tells whether a difference may be chance.
    """
    if qrels is not None and queries is None:
        raise typer.BadParameter("--qrels needs --queries")
    with session.store() as store, session.watch() as watch:
        from vecrollback.quality.evaluation import page, read_queries

        asked = None if queries is None else read_queries(queries, qrels)
        found = store.quality.compare(a, b, asked, k=k, mode=mode, progress=watch)
        if html is not None:
            html.write_text(page(found, typed()), encoding="utf-8")
            note(f"written to {html}")
    session.emit(payloads.comparison(found), lambda: compared(found))


def compared(found: Comparison) -> Iterator[Part]:
    """Measures, then likeness and latency, then the queries that got worse most."""
    beside = ", joined with the words" if found.mode == "hybrid" else ""
    asked = f"{found.queries:,} queries, {found.judged:,} with right answers, k = {found.k}"
    yield f"{found.a} against {found.b}: {asked}{beside}"
    if found.differences:
        yield Rows(
            ("measure", found.a, found.b, "difference", "95% interval", "p", ""),
            ((*d.cells, _direction(d.difference, d.significant)) for d in found.differences),
            right=("difference", "p"),
        )
        yield "documents that nobody judged count as wrong: " + ", ".join(
            f"{share:.0%} of the answers of {ref}"
            for ref, share in zip((found.a, found.b), found.unjudged, strict=True)
        )
    if found.absent:
        yield f"not in the corpus, so no pair can find them: {counted(found.absent, 'right document')}"
    yield f"overlap@{found.k} {found.overlap:.3f}, rank-biased overlap {found.rbo:.3f}"
    for ref, latency in zip((found.a, found.b), found.latency, strict=True):
        yield f"{ref}: p50 {latency.p50:.2f} ms, p99 {latency.p99:.2f} ms a query"
    if worst := found.worst():
        yield ""
        yield _worst(found, worst)


def _worst(found: Comparison, worst: list[AnsweredQuery]) -> Rows:
    name = found.differences[0].measure if found.differences else ""
    rows = ((q.id, *_values(q, name), f"{q.overlap:.2f}", clean(q.text, _WIDTH)) for q in worst)
    measured = (f"{name} {found.a}", f"{name} {found.b}") if name else ()
    return Rows(("worst", *measured, "overlap", "query"), rows, right=(*measured, "overlap"))


def _values(query: AnsweredQuery, name: str) -> tuple[str, ...]:
    return (f"{query.a[name]:.3f}", f"{query.b[name]:.3f}") if name else ()


def _direction(difference: float, significant: bool) -> str:
    if not significant:
        return "may be chance"
    return "better" if difference > 0 else "worse"
