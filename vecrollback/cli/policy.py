"""The group `policy`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support.output import counted, note
from vecrollback.cli.support.session import Session, command, common
from vecrollback.cli.support.tables import Rows
from vecrollback.errors import UsageError
from vecrollback.store import payloads

if TYPE_CHECKING:
    from vecrollback.switching.policy import Policy


app = typer.Typer(callback=common, help="Check a policy, or try it on recorded measurements.")


@command(
    app,
    returns="{origin, interval, bake, window, automatic, metrics: [{name, source, failure, action, ...}], channels}",
    examples=["policy check policy.toml"],
)
def check(
    session: Session,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Default: the store's own policy.")] = None,
) -> None:
    """Read a policy and show what it means, defaults filled in; exit code 2 when it is not valid."""
    from vecrollback.switching.policy import load_policy, read_policy

    if file is not None:
        policy = read_policy(file)
    else:
        with session.store() as store:
            own = load_policy(store.root)
        if own is None:
            raise UsageError("this store has no policy", hint="write [policy] into vecrollback.toml, or name a file")
        policy = own
    head = f"{policy.origin}: a policy of {counted(len(policy.rules), 'metric')}"
    session.emit(payloads.policy(policy), lambda: [head, _rules(policy)])


@command(
    app,
    returns="{rollback_at, decisions: [{at, kind, reason}], readings, unknown, silent}",
    examples=["policy replay policy.toml --metrics recorded.jsonl"],
)
def replay(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The policy.")],
    metrics: Annotated[Path, typer.Option("--metrics", metavar="FILE", help="As `watch --record` writes it.")],
) -> None:
    """Tell what a policy would have done with recorded measurements, and when. Nothing moves."""
    from vecrollback.store.automation.watch.replay import replay as replay_recording
    from vecrollback.switching.policy import read_policy

    outcome = replay_recording(read_policy(file), metrics)
    payload = {
        "rollback_at": outcome.rollback_at,
        "decisions": [{"at": at, "kind": one.kind, "reason": one.reason} for at, one in outcome.decisions],
        "readings": outcome.readings,
        "unknown": list(outcome.unknown),
        "silent": list(outcome.silent),
    }
    rows = [(_when(at), one.kind, one.reason) for at, one in outcome.decisions]
    listed = Rows(("at (UTC)", "decision", "because"), rows) if rows else "it would have done nothing"
    session.emit(payload, lambda: [listed])
    for name in outcome.silent:
        note(f"metric {name!r} of the policy is not in the recording")


def _rules(policy: Policy) -> Rows:
    rows = [
        (r.name, r.speed, str(r.failure), f"{r.failure_limit + 1} of {r.count}", f"{r.interval:g} s", r.action)
        for r in policy.rules
    ]
    return Rows(("metric", "speed", "fails", "times", "every", "then"), rows)


def _when(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="seconds")[:19]
