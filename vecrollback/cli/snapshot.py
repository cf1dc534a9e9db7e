"""Commands on snapshots: create, list, show, export, import, tag, untag, delete."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command, common
from vecrollback.store import payloads

app = typer.Typer(callback=common, help="Take, list, name, export, import or delete snapshots.")

_SNAPSHOT = "{ref, pair, number, manifest, watermark, vectors_version, created_at, recall, chunks, tags}"
Ref = Annotated[str, typer.Argument(metavar="PAIR@N", help="A snapshot, or a tag.")]


@command(app, returns=_SNAPSHOT, examples=["snapshot create", "snapshot create v1 --rebuild"])
def create(
    session: Session,
    pair: Annotated[str | None, typer.Argument(help="Default: the live pair.")] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build a new index too.")] = False,
) -> None:
    """Take a snapshot of a pair as it is now; it costs what changed since the last one."""
    with session.store() as store:
        taken, tags = store.snapshot(pair, rebuild=rebuild), store.tags()
    session.emit(payloads.snapshot(taken, tags), lambda: [f"took {taken.ref}, up to change {taken.watermark:,}"])


@command(app, "list", returns=f"{{snapshots: [{_SNAPSHOT}]}}")
def list_(
    session: Session,
    pair: Annotated[str | None, typer.Argument(help="Default: all pairs.")] = None,
) -> None:
    """List the snapshots of one pair or of all, oldest first."""
    with session.store() as store:
        taken, tags = store.snapshots(pair), store.tags()
    payload = {"snapshots": [payloads.snapshot(one, tags) for one in taken]}
    session.emit(payload, lambda: [render.snapshots(payload["snapshots"])] if taken else ["no snapshot yet"])


@command(app, returns=_SNAPSHOT.removesuffix("}") + ", contents}, where contents is the manifest")
def show(session: Session, ref: Ref) -> None:
    """Show everything a snapshot records: embedder contract, index, digests, settings."""
    with session.store() as store:
        taken, manifest = store.manifest(ref)
        contents = asdict(manifest)
        payload = {**payloads.snapshot(taken, store.tags()), "contents": contents}
    session.emit(payload, lambda: [render.facts(contents)])


@command(
    app,
    returns="{path, bytes, sha256, snapshot, documents, chunks}",
    examples=["snapshot export v1@3 v1-3.bundle", "snapshot export v1@3 v1-3.bundle --sign"],
)
def export(
    session: Session,
    ref: Ref,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where the bundle is written.")],
    sign: Annotated[
        bool, typer.Option("--sign", help="Write FILE.sig too, with the key of VECROLLBACK_KEY_FILE.")
    ] = False,
    model: Annotated[
        bool, typer.Option("--model/--no-model", help="With the model's files, where the store keeps them.")
    ] = True,
) -> None:
    """Write a snapshot and all that it needs into one file."""
    with session.store() as store, session.watch() as watch:
        bundle = store.export_snapshot(ref, path, sign=sign, progress=watch, model=model)
    line = f"wrote {bundle.snapshot} to {bundle.path}: {counted(bundle.documents, 'document')}, {bundle.bytes:,} bytes"
    session.emit(asdict(bundle), lambda: [line])


@command(
    app,
    "import",
    returns=_SNAPSHOT.removesuffix("}") + ", embedder}",
    examples=["snapshot import v1-3.bundle --name v1-restored"],
)
def import_(
    session: Session,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle that `snapshot export` wrote.")],
    name: Annotated[str | None, typer.Option(help="Name of the pair here. Default: as in the bundle.")] = None,
    require_signature: Annotated[
        bool, typer.Option("--require-signature", help="Refuse it unless the key of VECROLLBACK_KEY_FILE signed it.")
    ] = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Although the model brings programs along, which would be run here.")
    ] = False,
) -> None:
    """Take in a snapshot from a file; documents deleted here since stay deleted."""
    with session.store() as store:
        taken = store.import_snapshot(path, name=name, require_signature=require_signature, trust_code=trust_code)
        tags, embedder = store.tags(), store.pair(taken.pair).embedder
    line = f"took in {taken.ref} from {path}; its embedder is {embedder}"
    session.emit({**payloads.snapshot(taken, tags), "embedder": embedder}, lambda: [line])


@command(app, returns="{tag, ref}", examples=["snapshot tag v1@3 before-migration"])
def tag(
    session: Session,
    ref: Ref,
    name: Annotated[str, typer.Argument(help="The name to give it.")],
) -> None:
    """Name a snapshot; a tagged one is kept."""
    with session.store() as store:
        store.tag(name, ref)
        target = store.tags()[name]
    session.emit({"tag": name, "ref": target}, lambda: [f"{name} -> {target}"])


@command(app, returns="{tag}", examples=["snapshot untag before-migration"])
def untag(session: Session, name: Annotated[str, typer.Argument(help="The tag.")]) -> None:
    """Take a tag away; its snapshot stays until it is deleted."""
    with session.store() as store:
        store.untag(name)
    session.emit({"tag": name}, lambda: [f"removed the tag {name}"])


@command(app, returns="{deleted}", examples=["snapshot delete v1@2"])
def delete(session: Session, ref: Ref) -> None:
    """Delete a snapshot; refused while an alias, a tag or its pair needs it."""
    with session.store() as store:
        store.delete_snapshot(ref)
    session.emit({"deleted": ref}, lambda: [f"deleted {ref}"])
