"""Commands on golden queries: add, list, remove, import."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command, common
from vecrollback.cli.support.tables import Rows, clean, when
from vecrollback.records import GoldenQuery

app = typer.Typer(callback=common, help="Keep queries whose right answers are known, to measure pairs by.")
_QUERY = "{id, text, expected: {DOCUMENT: grade}, tags, created_at, created_by}"
_WIDTH = 60

Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Such as incident-12; may be repeated.")]


def _expected(value: str) -> tuple[str, str]:
    id_, _, grade = value.rpartition("=")
    return (id_, grade) if id_ and grade.isdecimal() else (value, "1")


@command(
    app,
    returns=_QUERY,
    examples=[
        "golden add 'how is espresso brewed' --expect coffee --tag incident-12",
        "golden add tea -e tea=2 -e mate=1",
    ],
)
def add(
    session: Session,
    query: Annotated[str, typer.Argument(help="The words.")],
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", "-e", metavar="ID[=GRADE]", help="A right document; may be repeated."),
    ] = None,
    tag: Tags = None,
    name: Annotated[str | None, typer.Option("--id", help="Default: made from the words.")] = None,
) -> None:
    """Keep a query and the documents that answer it; the same words, or the same id, replace what was kept."""
    expected = {id_: int(grade) for id_, grade in map(_expected, expect or [])}
    with session.store() as store:
        kept = store.golden.add(query, expected, tags=tag or [], id=name)
    session.emit(asdict(kept), lambda: [f"kept as {kept.id}, {counted(len(kept.expected), 'right document')}"])


@command(
    app, name="list", returns=f"{{queries: [{_QUERY}]}}", examples=["golden list", "golden list --tag incident-12"]
)
def list_(
    session: Session, tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only those with this tag.")] = None
) -> None:
    """Show the golden queries, oldest first."""
    with session.store() as store:
        found = store.golden.list(tag)
    rows = {"queries": [asdict(query) for query in found]}
    session.emit(rows, lambda: [_table(found) if found else "there is no golden query: `vecrollback golden add`"])


@command(app, returns="{removed: [ID]}", examples=["golden remove 3f0a92bc11de"])
def remove(session: Session, ids: Annotated[list[str], typer.Argument(metavar="ID", help="As `list` shows.")]) -> None:
    """Forget golden queries."""
    with session.store() as store:
        store.golden.remove(*ids)
    session.emit({"removed": ids}, lambda: [f"{len(ids):,} forgotten"])


@command(
    app,
    name="import",
    returns="{imported}",
    examples=["golden import queries.jsonl --qrels qrels.tsv --tag scifact", "golden import golden.jsonl"],
)
def import_(
    session: Session,
    path: Annotated[
        Path, typer.Argument(help='JSONL: {"query", "expected": {ID: grade}, "id", "tags"}, or BEIR queries.')
    ],
    qrels: Annotated[Path | None, typer.Option(metavar="FILE", help="Judgements: BEIR's or TREC's qrels.")] = None,
    tag: Tags = None,
) -> None:
    """Keep every query of a file; with --qrels those that somebody judged."""
    with session.store() as store:
        imported = store.golden.import_(path, qrels, tags=tag or [])
    session.emit({"imported": imported}, lambda: [f"{imported:,} golden queries kept"])


def _table(found: tuple[GoldenQuery, ...]) -> Rows:
    rows = (
        (
            query.id,
            clean(query.text, _WIDTH),
            _right(query),
            ", ".join(query.tags),
            when(query.created_at),
            query.created_by,
        )
        for query in found
    )
    return Rows(("id", "query", "right documents", "tags", "kept", "by"), rows)


def _right(query: GoldenQuery) -> str:
    return clean(", ".join(f"{id_}={grade}" for id_, grade in query.expected.items()), _WIDTH)
