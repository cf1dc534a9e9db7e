"""Keep pairs up to date."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.options import AccelerateOption, EngineOption, IdleOption, LoadOption, WindowOption
from vecrollback.cli.support.session import Session, command
from vecrollback.records import Effort

app = typer.Typer(add_completion=False)


@command(
    app,
    speaks_by_itself=True,
    returns="{rounds, caught_up, documents, embedded, failures}, when it ends",
    examples=["worker", "worker --once", "worker --interval 60"],
)
def worker(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="One round, then end; exit code 1 when it failed.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Pause between two rounds.")] = 5.0,
    ask_models: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How often to ask the models whether they answer; 0: never.")
    ] = 300.0,
    engine: EngineOption = "inline",
    accelerate: AccelerateOption = "off",
    idle: IdleOption = False,
    max_load: LoadOption = None,
    window: WindowOption = None,
) -> None:
    """Keep the live and the standby pair up to date, all the time.

    Runs until SIGTERM or Ctrl-C, which let the current batch end.
    """
    from vecrollback.store.automation.worker import Worker

    with _log_on_stderr(), session.store() as store, session.watch(finish=True) as watch:
        effort = Effort(engine, accelerate, idle=idle, max_load=max_load, window=window)
        work = Worker(store, effort=effort, progress=watch, stopping=lambda: watch.stopping, ask_every=ask_models)
        summary = work.run_once() if once else work.run(interval)
    line = f"rounds: {summary.rounds:,}, changes taken in: {summary.documents:,}, failures: {summary.failures:,}"
    session.emit(asdict(summary), lambda: [line])
    if once and summary.failures:
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
