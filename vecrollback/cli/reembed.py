"""Build a pair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.plan import plan
from vecrollback.cli.support import render, render_jobs
from vecrollback.cli.support.options import (
    AccelerateOption,
    EmbedderArgument,
    EngineOption,
    IdleOption,
    IndexOption,
    KeepModelOption,
    LoadOption,
    NameOption,
    WindowOption,
)
from vecrollback.cli.support.session import Session, command
from vecrollback.records import Effort, Json, Pair, Switched
from vecrollback.store import payloads

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part
    from vecrollback.reembedding.jobs import Job
    from vecrollback.store.store import Store

app = typer.Typer(add_completion=False)
_EMBEDDED = ("chunks", "tokens", "tokens_per_second", "share_of_ceiling")
_PAIR = (
    "{name, state, embedder, fingerprint, dimension, index, backend, snapshot, watermark, lag, checked, model, reason, "
    "cascade, bridged, accepted}"
)


def _settings(value: str) -> dict[str, Json]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"this is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise typer.BadParameter("must be a JSON object")
    return parsed


@command(
    app,
    returns=f"{_PAIR.removesuffix('}')}, already, given_up, {', '.join(_EMBEDDED)}, promoted}}; "
    "with --dry-run what `plan` returns",
    examples=[
        "reembed sentence-transformers/all-MiniLM-L6-v2 --name v1 --promote",
        "reembed 'openai:text-embedding-3-small?api_key_env=OPENAI_API_KEY' --name v2",
        "reembed ./my-model --name v4 --backend 'pgvector:$DATABASE_URL#docs_v4' --index hnsw",
        "reembed ./my-model --name v3 --index HNSW32,Flat --settings '{\"threshold\": 0.4}'",
    ],
)
def reembed(
    session: Session,
    embedder: EmbedderArgument,
    name: NameOption = None,
    index: IndexOption = "auto",
    settings: Annotated[
        dict[str, Json] | None,
        typer.Option(metavar="JSON", parser=_settings, help="Free JSON that travels with the pair."),
    ] = None,
    recall_floor: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Least recall@10 of the index.")
    ] = 0.95,
    promote: Annotated[bool, typer.Option("--promote", help="Let the pair serve once it is ready.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it is promoted, for the history.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what it would take, as `plan` does.")] = False,
    keep_model: KeepModelOption = None,
    engine: EngineOption = "inline",
    accelerate: AccelerateOption = "off",
    idle: IdleOption = False,
    max_load: LoadOption = None,
    window: WindowOption = None,
    backend: Annotated[
        str, typer.Option("--backend", metavar="KIND:URL#NAME", help="The database to hold the vectors: pgvector:...")
    ] = "",
) -> None:
    """Build a pair with a model, while the live pair goes on serving.

    The same command goes on with a build that was cut off.
    """
    if dry_run:
        plan(session, embedder, name, "auto" if backend else index, keep_model=keep_model)
        return
    effort = Effort(engine, accelerate, idle=idle, max_load=max_load, window=window)
    with session.store() as store, session.watch() as watch:
        finished = {pair.name for pair in store.pairs() if pair.state != "building"}
        job = store.reembed(
            embedder,
            index=index,
            name=name,
            settings=settings,
            recall_floor=recall_floor,
            effort=effort,
            progress=watch,
            keep_model=keep_model,
            backend=backend,
        )
        pair = job.wait()
        switched = store.promote(pair, reason=reason, progress=watch) if promote and pair.state != "live" else None
        payload = _payload(store, job, already=pair.name in finished)
    payload["promoted"] = payloads.switched(switched) if switched else None
    session.emit(payload, lambda: _lines(payload, job.id, switched))


def _payload(store: Store, job: Job[Pair], *, already: bool) -> dict[str, Json]:
    record = job.status()
    left_out = len(store.unembedded_documents(job.id))
    embedded = {name: record.progress.get(name) for name in _EMBEDDED}
    return {**payloads.pair(store, record.pair), "already": already, "given_up": left_out, **embedded}


def _lines(payload: Json, job: str, switched: Switched | None) -> Iterator[Part]:
    name = payload["name"]
    yield f"pair {name} was finished before; nothing to build" if payload["already"] else f"pair {name} is ready"
    yield from render_jobs.embedded(payload)
    yield from render_jobs.given_up(payload["given_up"], job)
    if switched:
        yield from render.switched(switched)
    elif payload["state"] == "ready":
        yield f"next: `vecrollback promote {name}`"
