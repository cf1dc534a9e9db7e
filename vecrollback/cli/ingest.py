"""Write documents into the store."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.output import counted, note
from vecrollback.cli.support.session import Session, command
from vecrollback.records import Ingested

app = typer.Typer(add_completion=False)

_FORMATS = "jsonl, json, csv, tsv, parquet, html, ..."
_SHOWN = 10


@command(
    app,
    returns="{seq, read, changed, unchanged, deleted, rejected: [{source, line, reason}], overwritten, repeated, gone, "
    "gone_ids: [id], left_out: {kind: count}, not_mirrored}",
    examples=[
        "ingest documents.jsonl",
        "ingest notes/ handbook.pdf --mirror",
        "ingest export.csv --delimiter ';' --encoding cp1252 --id-field key",
        "ingest changes.jsonl.zst --changes --skip-bad",
        "ingest 'chroma:./chroma#pages'",
    ],
)
def ingest(
    session: Session,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files, folders, indexes as for doctor; see docs/how-to/ingest.md. `-`: standard input.",
        ),
    ],
    id_field: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Field of the id, a.b for one in another. Default: id, then _id."),
    ] = None,
    text_field: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Field of the text. Default: text, after title.")
    ] = None,
    generate_ids: Annotated[bool, typer.Option("--generate-ids", help="Make ids from what the documents say.")] = False,
    changes: Annotated[bool, typer.Option("--changes", help="Each row says in `op`: upsert or delete.")] = False,
    format: Annotated[str, typer.Option("--format", metavar="KIND", help=f"Of all sources: {_FORMATS}")] = "",
    delimiter: Annotated[str, typer.Option(metavar="CHARACTER", help="Between the cells of a table.")] = "",
    encoding: Annotated[str, typer.Option(metavar="NAME", help="Of text that is not in UTF-8: latin-1, ...")] = "",
    mirror: Annotated[bool, typer.Option("--mirror", help="Delete the documents that no source has any more.")] = False,
    within: Annotated[
        str | None, typer.Option(metavar="FILTER", help="With --mirror: only documents that match.")
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", help="With --mirror: delete also more than half of them.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read all, write nothing; list what --mirror would delete.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Count bad rows and go on.")] = False,
) -> None:
    """Write the documents of files and folders into the store.

    Running it again changes only the documents that differ.
    """
    with session.store() as store, session.watch(finish=True) as watch:
        result = store.ingest(
            paths,
            id_field=id_field,
            text_field=text_field,
            changes=changes,
            skip_bad=skip_bad,
            mirror=mirror,
            progress=watch,
            format=format.removeprefix("."),
            delimiter={"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter),
            encoding=encoding,
            generate_ids=generate_ids,
            within=within,
            override=override,
            dry_run=dry_run,
        )
    for row in result.rejected:
        note(f"{row.source}:{row.line}: {row.reason}")
    session.emit(asdict(result), lambda: _lines(result, dry_run))


def _lines(result: Ingested, dry_run: bool) -> list[str]:
    counts = {
        "changed": result.changed,
        "unchanged": result.unchanged,
        "deleted": result.deleted,
        "rejected": len(result.rejected),
    }
    outcome = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    read = f"{counted(result.read, 'document')} read"
    lines = [f"{read}, none written" if dry_run else f"{read}: {outcome}; newest change {result.seq:,}"]
    if result.gone:
        shown = ", ".join(result.gone_ids[:_SHOWN]) + (", ..." if result.gone > _SHOWN else "")
        would = "would be deleted" if dry_run else "deleted"
        lines.append(f"{counted(result.gone, 'document')} {would}, which no source has any more: {shown}")
    if result.not_mirrored:
        lines.append(result.not_mirrored)
    if result.overwritten:
        lines.append(f"{counted(result.overwritten, 'row')} overwritten by a later one of the same id")
    if result.repeated:
        lines.append(f"{counted(result.repeated, 'row')} came again as they were")
    if result.left_out:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result.left_out.items()))
        lines.append(f"left out: {kinds}")
    return lines
