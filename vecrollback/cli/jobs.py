"""Commands around long work: plan, jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli import render_jobs
from vecrollback.cli.session import Session, command, common

app = typer.Typer()
jobs = typer.Typer(help="Long work: list, show, pause, resume, cancel.", callback=common, no_args_is_help=True)
_PANEL = "Pairs"
PLAN = (
    "{pair, embedder, fingerprint, resumes, documents, reused, texts, chunks, tokens, counted, error, estimated, "
    "measured, tokens_per_second, seconds, price, dollars, index, disk, disk_free, stale_documents, stale_seconds}"
)
PriceOption = Annotated[
    float | None, typer.Option(min=0, metavar="DOLLARS", help="Price of a million tokens. Default: the embedder's own.")
]


@command(
    app,
    panel=_PANEL,
    returns=PLAN,
    examples=["plan ./my-model", "plan openai:text-embedding-3-small --price 0.02"],
)
def plan(
    session: Session,
    embedder: Annotated[str, typer.Argument(help="A hub name or directory, openai:MODEL?..., hash:DIM, mod:fn.")],
    name: Annotated[str | None, typer.Option(help="Name of the pair. Default: from the embedder.")] = None,
    index: Annotated[
        str, typer.Option(metavar="SPEC", help="auto, a FAISS factory string, lance:..., or shards:N(SPEC)")
    ] = "auto",
    price: PriceOption = None,
    measure: Annotated[
        bool | None,
        typer.Option("--measure/--no-measure", help="Time a short run. Default: unless a service is paid for it."),
    ] = None,
) -> None:
    """Tell what `reembed` would take: documents, tokens, time, money, disk. Changes nothing."""
    with session.store() as store:
        made = store.plan(embedder, name=name, index=index, price=price, measure=measure)
    session.emit(asdict(made), lambda: render_jobs.plan(made))


_JOB = "{id, kind, pair, state, cancel, paused, progress, error, started_at, updated_at, host, pid}"
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="See `jobs list`.")]


@command(jobs, "list", returns=f"{{jobs: [{_JOB}]}}")
def list_(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help="Those that are done, too.")] = False,
) -> None:
    """List unfinished jobs, newest first: who runs them, how far they are, or why they ended."""
    with session.store() as store:
        found = store.jobs(unfinished=not every)
    session.emit({"jobs": [asdict(one) for one in found]}, lambda: render_jobs.jobs(found))


@command(
    jobs,
    returns=_JOB.removesuffix("}") + ", unembedded: [{pair, document, seq, job, reason, at}], "
    "made: [{number, pair, job, runtime, body, first, last, at}]}",
    examples=["jobs show 5f0c2a9be871"],
)
def show(session: Session, job: JobArgument) -> None:
    """Show a job, and the documents that it could not embed."""
    with session.store() as store:
        found, without = store.work.get(job), store.work.unembedded(job)
        made = [one for one in store.work.made(found.pair) if one.job == job]
    payload = {**asdict(found), "unembedded": [asdict(one) for one in without]}
    payload["made"] = [asdict(one) for one in made]
    session.emit(payload, lambda: render_jobs.job(found, without, made))


@command(jobs, returns=_JOB)
def pause(session: Session, job: JobArgument) -> None:
    """Let a job wait before its next batch, wherever it runs."""
    with session.store() as store:
        found = store.work.pause(job)
    session.emit(asdict(found), lambda: render_jobs.jobs([found]))


@command(jobs, returns=_JOB)
def resume(session: Session, job: JobArgument) -> None:
    """Let a paused job go on."""
    with session.store() as store:
        found = store.work.pause(job, paused=False)
    session.emit(asdict(found), lambda: render_jobs.jobs([found]))


@command(jobs, returns=_JOB)
def cancel(session: Session, job: JobArgument) -> None:
    """Let a job end after its batch; the command that began it goes on with it."""
    with session.store() as store:
        found = store.work.cancel(job)
    session.emit(asdict(found), lambda: render_jobs.jobs([found]))
