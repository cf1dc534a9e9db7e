"""The group `jobs`: long work."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support import render_jobs
from vecrollback.cli.support.session import Session, command, common

app = typer.Typer(callback=common, help="List, show, pause, resume or cancel long work.")
_JOB = "{id, kind, pair, state, cancel, paused, progress, error, started_at, updated_at, host, pid}"
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="The job, as `jobs list` shows it.")]


@command(app, "list", returns=f"{{jobs: [{_JOB}]}}")
def list_(
    session: Session,
    every: Annotated[bool, typer.Option("--all", help="Also the jobs that are done.")] = False,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only these: catch-up, reembed, check, ...")] = None,
    pair: Annotated[str | None, typer.Option(metavar="PAIR", help="Only jobs of this pair.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N.")] = None,
) -> None:
    """List unfinished jobs, newest first: who runs them, how far they are, or why they ended."""
    with session.store() as store:
        listed = store.jobs(unfinished=not every, kind=kind, pair=pair, limit=limit)
    session.emit({"jobs": [asdict(one) for one in listed]}, lambda: render_jobs.jobs(listed))


@command(
    app,
    returns=_JOB.removesuffix("}") + ", unembedded: [{pair, document, seq, job, reason, at, acceptance}], "
    "made: [{number, pair, job, runtime, body, first, last, at}]}",
    examples=["jobs show 5f0c2a9be871"],
)
def show(session: Session, job: JobArgument) -> None:
    """Show a job, and the documents that it could not embed."""
    with session.store() as store:
        record, left_out = store.job(job), store.unembedded_documents(job)
        batches = [one for one in store.runtime_batches(record.pair) if one.job == job]
    payload = {**asdict(record), "unembedded": [asdict(one) for one in left_out]}
    payload["made"] = [asdict(one) for one in batches]
    session.emit(payload, lambda: render_jobs.job(record, left_out, batches))


@command(app, returns=_JOB)
def pause(session: Session, job: JobArgument) -> None:
    """Let a job wait before its next batch, in whichever process it runs."""
    with session.store() as store:
        record = store.pause(job)
    session.emit(asdict(record), lambda: render_jobs.jobs([record]))


@command(app, returns=_JOB)
def resume(session: Session, job: JobArgument) -> None:
    """Let a paused job go on."""
    with session.store() as store:
        record = store.resume(job)
    session.emit(asdict(record), lambda: render_jobs.jobs([record]))


@command(app, returns=_JOB)
def cancel(session: Session, job: JobArgument) -> None:
    """End a job after its current batch; the command that began it can go on with it later."""
    with session.store() as store:
        record = store.cancel(job)
    session.emit(asdict(record), lambda: render_jobs.jobs([record]))
