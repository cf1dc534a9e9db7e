"""The group `jobs`: long work."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support import render_jobs
from vecrollback.cli.support.session import Session, command, common

app = typer.Typer(callback=common, help="List, show, pause, resume or cancel long work.", no_args_is_help=True)
_JOB = "{id, kind, pair, state, cancel, paused, progress, error, started_at, updated_at, host, pid}"
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="See `jobs list`.")]


@command(app, "list", returns=f"{{jobs: [{_JOB}]}}")
def list_(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help="Those that are done, too.")] = False,
) -> None:
    """List unfinished jobs, newest first: who runs them, how far they are, or why they ended."""
    with session.store() as store:
        found = store.jobs(unfinished=not every)
    session.emit({"jobs": [asdict(one) for one in found]}, lambda: render_jobs.jobs(found))


@command(
    app,
    returns=_JOB.removesuffix("}") + ", unembedded: [{pair, document, seq, job, reason, at}], "
    "made: [{number, pair, job, runtime, body, first, last, at}]}",
    examples=["jobs show 5f0c2a9be871"],
)
def show(session: Session, job: JobArgument) -> None:
    """Show a job, and the documents that it could not embed."""
    with session.store() as store:
        found, without = store.job(job), store.unembedded_documents(job)
        made = [one for one in store.runtime_batches(found.pair) if one.job == job]
    payload = {**asdict(found), "unembedded": [asdict(one) for one in without]}
    payload["made"] = [asdict(one) for one in made]
    session.emit(payload, lambda: render_jobs.job(found, without, made))


@command(app, returns=_JOB)
def pause(session: Session, job: JobArgument) -> None:
    """Let a job wait before its next batch, wherever it runs."""
    with session.store() as store:
        found = store.pause(job)
    session.emit(asdict(found), lambda: render_jobs.jobs([found]))


@command(app, returns=_JOB)
def resume(session: Session, job: JobArgument) -> None:
    """Let a paused job go on."""
    with session.store() as store:
        found = store.resume(job)
    session.emit(asdict(found), lambda: render_jobs.jobs([found]))


@command(app, returns=_JOB)
def cancel(session: Session, job: JobArgument) -> None:
    """Let a job end after its batch; the command that began it goes on with it."""
    with session.store() as store:
        found = store.cancel(job)
    session.emit(asdict(found), lambda: render_jobs.jobs([found]))
