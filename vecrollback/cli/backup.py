"""The group `backup`: the whole store as one file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command, common
from vecrollback.records import BackupContents

app = typer.Typer(callback=common, help="Back the whole store up in one file, and restore it elsewhere.")
_CONTENTS = "store, version, created_at, head, documents, pairs, live, files, bytes"
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A file, or s3://BUCKET/KEY.")]

SignatureOption = Annotated[
    bool, typer.Option("--require-signature", help="Refuse it unless the key of VECROLLBACK_KEY_FILE signed it.")
]


@command(
    app,
    returns=f"{{path, bytes, sha256, contents: {{{_CONTENTS}}}}}",
    examples=["backup create store.backup", "backup create s3://backups/monday"],
)
def create(
    session: Session,
    file: FileArgument,
    sign: Annotated[
        bool, typer.Option("--sign", help="Write FILE.sig too, with the key of VECROLLBACK_KEY_FILE.")
    ] = False,
) -> None:
    """Back up log, catalog, pairs and policy, while everything runs."""
    with session.store() as store:
        result = store.backups.create(file, sign=sign)
    contents = result.contents
    line = f"wrote {result.path}: {_summary(contents)}; {result.bytes:,} bytes"
    session.emit(asdict(result), lambda: [line, f"sha256: {result.sha256}"])


@command(
    app,
    returns=f"{{{_CONTENTS}, erased}}",
    examples=["backup restore store.backup --store /srv/new", "backup restore store.backup --store new --erasures old"],
)
def restore(
    session: Session,
    file: FileArgument,
    erasures: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="Also delete what was deleted since in the store that was backed up, if it can be read."
        ),
    ] = None,
    require_signature: SignatureOption = False,
) -> None:
    """Restore a backup as a new store, named by --store.

    What serves, served and waits is as it was; deleted documents stay deleted. The store named by --store is laid out,
    or must be empty.
    """
    from vecrollback.store.store import connect

    erased: dict[str, int] = {}
    if erasures is not None:
        with connect(erasures) as origin:
            erased = origin.resources.catalog.ledger.tombstones()
    with session.store(create=True) as store:
        contents = store.backups.restore(file, erased=erased, require_signature=require_signature)
        place = store.uri
    count = sum(seq > contents.head for seq in erased.values())
    lines = [f"restored into {place}: {_summary(contents)}"]
    lines += [f"deleted since the backup, and here too: {counted(count, 'document')}"] if count else []
    session.emit({**asdict(contents), "erased": count}, lambda: [*lines, "next: `vecrollback check`"])


@command(app, returns=f"{{{_CONTENTS}}}", examples=["backup verify store.backup"])
def verify(session: Session, file: FileArgument, require_signature: SignatureOption = False) -> None:
    """Read a backup whole, and compare every byte with what was written."""
    from vecrollback.pairs.backup import verify as verified

    contents = verified(file, require_signature=require_signature)
    session.emit(asdict(contents), lambda: [f"sound: {_summary(contents)}"])


def _summary(contents: BackupContents) -> str:
    pairs = ", ".join(contents.pairs) or "no pair"
    live = f"{contents.live} live, " if contents.live else ""
    return (
        f"{counted(contents.documents, 'document')} at change {contents.head:,}, {pairs}; {live}"
        f"{counted(contents.files, 'file')}, of {contents.created_at[:19]} UTC"
    )
