"""Commands of a policy: watch by it, check it, replay a recording against it."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli import render
from vecrollback.cli.output import note
from vecrollback.cli.session import Session, command, common
from vecrollback.errors import UsageError
from vecrollback.records import Json

if TYPE_CHECKING:
    from rich.table import Table

    from vecrollback.switching.policy import Policy

app = typer.Typer()
policies = typer.Typer(callback=common, help="Check a policy, and try it on what was recorded.")
_PANEL = "Status and proof"
PolicyOption = Annotated[
    str | None, typer.Option("--policy", metavar="FILE", help="Default: [policy] in vecrollback.toml.")
]


@command(
    app,
    panel=_PANEL,
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
    """Watch what is live by a policy, asking it queries, and do what the policy says. A server watches by itself.

    Several watches of one store do no harm: one leads, the others take over when it ends.
    """
    from vecrollback.automation.guard import watch_store
    from vecrollback.quality.evaluation import read_queries

    with session.store() as store, session.watch(finish=True) as signals, _recorder(record) as recorded:
        asked = read_queries(queries) if queries else store.golden.list()
        ended = watch_store(
            store,
            policy,
            [query.text for query in asked],
            rounds=rounds,
            stopping=lambda: signals.stopping,
            recorded=recorded,
            told=lambda decision: note(f"{decision.kind}: {decision.reason}"),
        )
    session.emit(asdict(ended), lambda: [render.facts(ended.metrics)])


@command(
    policies,
    returns="{origin, interval, bake, window, automatic, metrics: [{name, source, failure, action, ...}], channels}",
    examples=["policy check policy.toml"],
)
def check(
    session: Session,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Default: the store's own policy.")] = None,
) -> None:
    """Read a policy and show what it means, defaults filled in; exit code 2 where it means nothing."""
    from vecrollback.switching.policy import load_policy, read_policy

    if file is not None:
        found = read_policy(file)
    else:
        with session.store() as store:
            loaded = load_policy(store.root)
        if loaded is None:
            raise UsageError("there is no policy", hint="write [policy] into vecrollback.toml, or name a file")
        found = loaded
    session.emit(_payload(found), lambda: [f"{found.origin}: a policy of {len(found.rules)} metrics", _rules(found)])


@command(
    policies,
    returns="{rollback_at, decisions: [{at, kind, reason}], readings, unknown, silent}",
    examples=["policy replay policy.toml --metrics recorded.jsonl"],
)
def replay(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy.")],
    metrics: Annotated[Path, typer.Option("--metrics", metavar="FILE", help="As `watch --record` writes it.")],
) -> None:
    """Tell what a policy would have done with recorded measurements, and when. Nothing moves."""
    from vecrollback.automation.guard.replay import replay as replayed
    from vecrollback.switching.policy import read_policy

    found = replayed(read_policy(file), metrics)
    made = [{"at": at, "kind": one.kind, "reason": one.reason} for at, one in found.decisions]
    payload = {
        "rollback_at": found.rollback_at,
        "decisions": made,
        "readings": found.readings,
        "unknown": list(found.unknown),
        "silent": list(found.silent),
    }
    rows = [(_when(at), one.kind, one.reason) for at, one in found.decisions]
    said = render.table(("at (UTC)", "decision", "because"), rows) if rows else "it would have done nothing"
    session.emit(payload, lambda: [said])
    for name in found.silent:
        note(f"metric {name!r} of the policy is not in the recording")


def _payload(policy: Policy) -> dict[str, Json]:
    rules = [{**asdict(rule), "failure": str(rule.failure), "speed": rule.speed} for rule in policy.rules]
    plain = {name: getattr(policy, name) for name in ("origin", "interval", "bake", "window", "automatic")}
    return {**plain, "metrics": rules, "channels": [channel.name for channel in policy.channels]}


def _rules(policy: Policy) -> Table:
    rows = [
        (r.name, r.speed, str(r.failure), f"{r.failure_limit + 1} of {r.count}", f"{r.interval:g} s", r.action)
        for r in policy.rules
    ]
    return render.table(("metric", "speed", "fails", "times", "every", "then"), rows)


def _when(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="seconds")[:19]


@contextlib.contextmanager
def _recorder(path: Path | None) -> Iterator[Callable[[Mapping[str, Json]], None] | None]:
    if path is None:
        yield None
        return
    with path.open("a", encoding="utf-8", buffering=1) as file:
        yield lambda row: print(json.dumps(row), file=file)
