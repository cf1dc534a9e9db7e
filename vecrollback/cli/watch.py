"""Watch what is live by a policy."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support import render
from vecrollback.cli.support.output import note
from vecrollback.cli.support.session import Session, command
from vecrollback.records import Json

if TYPE_CHECKING:
    pass


app = typer.Typer(add_completion=False)
PolicyOption = Annotated[
    str | None, typer.Option("--policy", metavar="FILE", help="Default: [policy] in vecrollback.toml.")
]


@command(
    app,
    speaks_by_itself=True,
    returns="{rounds, decisions: [{kind, reason}], metrics: {name: success|failure|inconclusive}}, when it ends",
    examples=["watch", "watch --policy policy.toml --queries queries.jsonl", "watch --rounds 5 --json"],
)
def watch(
    session: Session,
    policy: PolicyOption = None,
    queries: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What to ask, JSONL. Default: the golden queries.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after as many.")] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append every measurement, for `policy replay`.")
    ] = None,
) -> None:
    """Watch the live pair by a policy, and act as the policy says.

    A server watches by itself. Several watches of one store do no harm: one leads, and another takes over when it ends.
    With --rounds it does not wait for that: it says so and ends.
    """
    from vecrollback.quality.evaluation import read_queries
    from vecrollback.store.automation.watch.watch import leader

    with session.store() as store, session.watch(finish=True) as signals, _recorder(record) as record_reading:
        summary = store.watch(
            [query.text for query in read_queries(queries)] if queries else None,
            policy=policy,
            rounds=rounds,
            stopping=lambda: signals.stopping,
            on_reading=record_reading,
            on_decision=lambda decision: note(f"{decision.kind}: {decision.reason}"),
            on_waiting=lambda: note(f"{leader(store)} leads; waiting to take over when it ends"),
        )
    session.emit(asdict(summary), lambda: [render.facts(summary.metrics)])


@contextlib.contextmanager
def _recorder(path: Path | None) -> Iterator[Callable[[Mapping[str, Json]], None] | None]:
    if path is None:
        yield None
        return
    with path.open("a", encoding="utf-8", buffering=1) as file:
        yield lambda row: print(json.dumps(row), file=file)
