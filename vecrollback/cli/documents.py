"""Commands for the store and its documents: init, ingest, delete, search, compact."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli import render
from vecrollback.cli.output import note
from vecrollback.cli.session import Session, command
from vecrollback.errors import StoreNotFoundError
from vecrollback.store import payloads

app = typer.Typer()
_PANEL = "Documents"


@command(app, panel=_PANEL, returns="{store, created}", examples=["init", "init --store /srv/vectors"])
def init(session: Session) -> None:
    """Create an empty store; one that exists is left as it is."""
    try:
        with session.store() as store:
            place, created = store.status()["store"], False
    except StoreNotFoundError:
        with session.store(create=True) as store:
            place, created = store.status()["store"], True
    said = f"created a store at {place}; next: `vecrollback ingest FILE`" if created else f"there is a store at {place}"
    session.emit({"store": place, "created": created}, lambda: [said])


@command(
    app,
    panel=_PANEL,
    returns="{seq, read, changed, unchanged, deleted, rejected: [{line, reason}]}",
    examples=["ingest documents.jsonl", "ingest changes.jsonl.zst --changes", "ingest notes/ --skip-bad"],
)
def ingest(
    session: Session,
    path: Annotated[Path, typer.Argument(help="A .jsonl, .csv or .parquet file (also .gz, .zst), or a folder.")],
    id_field: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Field of the id. Default: id, then _id.")
    ] = None,
    text_field: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Field of the text. Default: text, after title.")
    ] = None,
    changes: Annotated[bool, typer.Option("--changes", help="Each row says in `op`: upsert or delete.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Count bad rows and go on.")] = False,
) -> None:
    """Write the documents of a file or folder; running it again changes only what differs."""
    with session.store() as store, session.watch(finish=True) as watch:
        done = store.ingest(
            path, id_field=id_field, text_field=text_field, changes=changes, skip_bad=skip_bad, progress=watch
        )
    for row in done.rejected:
        note(f"{path}:{row.line}: {row.reason}")
    summary = f"{done.read:,} read: {done.changed:,} changed, {done.unchanged:,} unchanged, {done.deleted:,} deleted"
    session.emit(asdict(done), lambda: [f"{summary}, {len(done.rejected):,} rejected; head {done.seq:,}"])


@command(app, panel=_PANEL, returns="{seq, ids, unknown}", examples=["delete doc-17 doc-18"])
def delete(session: Session, ids: Annotated[list[str], typer.Argument(metavar="ID", help="Document ids.")]) -> None:
    """Delete documents for good: from now on no query returns them, whichever pair serves."""
    with session.store() as store:
        known = store.get(ids)
        seq = store.delete(ids)
    unknown = [id_ for id_ in ids if id_ not in known]
    if unknown:
        note(f"not in the corpus: {', '.join(unknown)}")
    session.emit({"seq": seq, "ids": ids, "unknown": unknown}, lambda: [f"{len(known):,} deleted; head {seq:,}"])


@command(
    app,
    panel=_PANEL,
    returns="{pair, snapshot, epoch, watermark, settings, hits: [{id, score, text, metadata, chunk, stale}], current, "
    "canary}",
    examples=["search 'how do I roll back' -k 5", 'search invoices --where "year >= 2024"'],
)
def search(
    session: Session,
    query: Annotated[str, typer.Argument(help="The words to search for.")],
    k: Annotated[int, typer.Option("-k", "--k", metavar="K", min=1, help="How many documents.")] = 10,
    where: Annotated[str | None, typer.Option(metavar="SQL", help="Filter over the metadata.")] = None,
) -> None:
    """Search the pair that is live, and say which one answered."""
    with session.store() as store:
        found = store.search(query, k, where)
    session.emit(payloads.result(found), lambda: render.result(found))


@command(app, panel=_PANEL, returns="{purged}", examples=["compact --purge"])
def compact(
    session: Session,
    purge: Annotated[bool, typer.Option("--purge", help="Leave no byte of a deleted text in the store.")] = False,
) -> None:
    """Merge the small files of the corpus."""
    with session.store() as store:
        store.compact(purge=purge)
    said = "compacted; no deleted text is left in the store" if purge else "compacted"
    session.emit({"purged": purge}, lambda: [said])
