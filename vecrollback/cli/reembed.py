"""Commands that build pairs and keep them up to date: reembed, pairs, catch-up, worker."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli import jobs, render, render_jobs
from vecrollback.cli.job_options import AccelerateOption, EngineOption, IdleOption, LoadOption, WindowOption
from vecrollback.cli.session import Session, command
from vecrollback.records import Effort, Json
from vecrollback.store import payloads

app = typer.Typer()
_PANEL = "Pairs"
_EMBEDDED = ("tokens", "tokens_per_second", "share_of_ceiling")
_PAIR = "{name, state, embedder, fingerprint, dimension, index, snapshot, watermark, lag, checked, reason}"


def _settings(value: str) -> dict[str, Json]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"no valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise typer.BadParameter("must be a JSON object")
    return parsed


@command(
    app,
    panel=_PANEL,
    returns=f"{_PAIR.removesuffix('}')}, already, given_up, {', '.join(_EMBEDDED)}, promoted}}; "
    "with --dry-run what `plan` returns",
    examples=[
        "reembed sentence-transformers/all-MiniLM-L6-v2 --name v1 --promote",
        "reembed 'openai:text-embedding-3-small?api_key_env=OPENAI_API_KEY' --name v2",
        "reembed ./my-model --name v3 --index HNSW32,Flat --settings '{\"threshold\": 0.4}'",
    ],
)
def reembed(
    session: Session,
    embedder: Annotated[
        str, typer.Argument(help="A hub name or directory, openai:MODEL?..., hash:DIM?seed=N, mod:fn.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the pair. Default: from the embedder.")] = None,
    index: Annotated[
        str, typer.Option(metavar="SPEC", help="auto, a FAISS factory string, lance:..., or shards:N(SPEC)")
    ] = "auto",
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
    engine: EngineOption = "inline",
    accelerate: AccelerateOption = "off",
    idle: IdleOption = False,
    max_load: LoadOption = None,
    window: WindowOption = None,
) -> None:
    """Build a pair from the log beside whatever serves; the same command resumes one that was cut off."""
    if dry_run:
        jobs.plan(session, embedder, name, index)
        return
    moved = None
    with session.store() as store, session.watch() as watch:
        finished = {pair.name for pair in store.pairs() if pair.state != "building"}
        effort = Effort(engine, accelerate, idle=idle, max_load=max_load, window=window)
        job = store.reembed(
            embedder,
            index=index,
            name=name,
            settings=settings,
            recall_floor=recall_floor,
            effort=effort,
            progress=watch,
        )
        pair = job.wait()
        if promote and pair.state != "live":
            moved = store.promote(pair, reason=reason, progress=watch)
        row, without, work = payloads.pair(store, pair.name), len(store.work.unembedded(job.id)), job.status().progress
    already = pair.name in finished
    payload = {**row, "already": already, "given_up": without}
    payload |= {name: work.get(name) for name in _EMBEDDED}
    payload["promoted"] = payloads.switched(moved) if moved else None
    said = f"pair {pair.name} was finished before; nothing to build" if already else f"pair {pair.name} is ready"
    more = [
        *render_jobs.embedded(work),
        *render_jobs.given_up(without, job.id),
        *(render.switched(moved) if moved else []),
    ]
    session.emit(payload, lambda: [said, *more])


@command(app, panel=_PANEL, returns=f"{{pairs: [{_PAIR}]}}")
def pairs(session: Session) -> None:
    """List every pair: its state, its embedder, how far behind it is, and what its last check said."""
    with session.store() as store:
        rows = store.status()["pairs"]
    session.emit(
        {"pairs": rows}, lambda: [render.pairs(rows)] if rows else ["no pair yet: `vecrollback reembed MODEL`"]
    )


@command(
    app,
    "catch-up",
    panel=_PANEL,
    returns="{pairs: [{pair, watermark, lag, documents, embedded, reused, chunks, seconds}]}",
    examples=["catch-up", "catch-up v1"],
)
def catch_up(
    session: Session,
    pair: Annotated[str | None, typer.Argument(help="Default: the pairs in live and standby.")] = None,
    engine: EngineOption = "inline",
    accelerate: AccelerateOption = "off",
    idle: IdleOption = False,
    max_load: LoadOption = None,
    window: WindowOption = None,
) -> None:
    """Bring pairs to the head of the log, each with its own embedder, while they serve."""
    from vecrollback.automation.worker import kept_up

    with session.store() as store, session.watch() as watch:
        effort = Effort(engine, accelerate, idle=idle, max_load=max_load, window=window)
        names = [pair] if pair else kept_up(store)
        done = [store.catch_up(name, effort=effort, progress=watch) for name in names]
    said = [render.caught_up(one) for one in done] or ["no pair is live or in standby"]
    session.emit({"pairs": [asdict(one) for one in done]}, lambda: said)


@command(
    app,
    panel=_PANEL,
    returns="{rounds, caught_up, documents, embedded, failures}, when it ends",
    examples=["worker", "worker --once", "worker --interval 60"],
)
def worker(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="One round, then end; exit code 1 when it failed.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Pause between two rounds.")] = 5.0,
    engine: EngineOption = "inline",
    accelerate: AccelerateOption = "off",
    idle: IdleOption = False,
    max_load: LoadOption = None,
    window: WindowOption = None,
) -> None:
    """Keep live and standby pairs at the head of the log until SIGTERM or Ctrl-C, which let a batch end."""
    from vecrollback.automation.worker import Worker

    with _log_on_stderr(), session.store() as store, session.watch(finish=True) as watch:
        effort = Effort(engine, accelerate, idle=idle, max_load=max_load, window=window)
        work = Worker(store, effort=effort, progress=watch, stopping=lambda: watch.stopping)
        done = work.run_once() if once else work.run(interval)
    said = f"rounds: {done.rounds:,}, changes taken in: {done.documents:,}, failures: {done.failures:,}"
    session.emit(asdict(done), lambda: [said])
    if once and done.failures:
        raise typer.Exit(1)


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("vecrollback")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
