"""Commands on canaries: start, advance, stop, status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from vecrollback.cli.support.moves import DryRun, NeededReason, Override, Reason, age_line, forward_age
from vecrollback.cli.support.session import Session, command, common
from vecrollback.cli.support.tables import Rows
from vecrollback.records import CanaryStatus, Observation
from vecrollback.store import payloads

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part

app = typer.Typer(callback=common, help="Try a pair on part of the traffic before it goes live.")
_RETURNS = (
    "{canary: {number, alias, pair, baseline, step, share, shadow, policy, since, started_at, started_by, ended_at, "
    "ended_by, end_reason}, standing: better|worse|undecided, judgements: [{measure, standing, low, high, count, "
    "sentence}], observed: {MEASURE: {count, total, squares, lowest, highest, bins}}, baked, bake_seconds, next_share}"
)


@command(
    app,
    returns=_RETURNS + "; with --dry-run {pair, snapshot, taken_at, watermark, lag, live, checked, obstacle, dry_run}",
    examples=["canary start v2 --dry-run", "canary start v2 --reason 'the new model'"],
)
def start(
    session: Session,
    pair: Annotated[str, typer.Argument(help="The pair to be tried.")],
    reason: Reason = "",
    override: Override = False,
    dry_run: DryRun = False,
) -> None:
    """Let a candidate answer beside the live pair, or for the first share of the callers; `[canary]` says which."""
    if dry_run:
        _plan(session, pair)
        return
    with session.store() as store:
        current = store.canaries.start(pair, reason=reason, override=override)
    session.emit(payloads.canary_status(current), lambda: _lines(current))


@command(
    app,
    returns=_RETURNS,
    examples=["canary advance", "canary advance --override --reason 'a quiet night'"],
)
def advance(session: Session, override: Override = False, reason: Reason = "") -> None:
    """Give the candidate the next share; refused before its time is over and while the test has not said better."""
    with session.store() as store:
        current = store.canaries.advance(override=override, reason=reason)
    session.emit(payloads.canary_status(current), lambda: _lines(current))


@command(app, returns="the `canary` of `canary status`", examples=["canary stop --reason 'answers are off'"])
def stop(session: Session, reason: NeededReason = "") -> None:
    """End the canary: with the next query of every searcher everybody is answered by the live pair again."""
    with session.store() as store:
        ended = store.canaries.stop(reason=reason)
    session.emit(payloads.canary(ended), lambda: [f"{ended.pair} is not tried any more; {ended.baseline} answers all"])


@command(app, returns=_RETURNS, examples=["canary status"])
def status(session: Session) -> None:
    """Show the canary that runs: its share, what was seen, and what the test says of it."""
    with session.store() as store:
        current = store.canaries.status()
    session.emit(payloads.canary_status(current), lambda: _lines(current))


def _plan(session: Session, pair: str) -> None:
    with session.store() as store:
        obstacle, age = store.canaries.plan(pair), forward_age(store, pair)
    refused = f"it would be refused: {obstacle}" if obstacle else "it would be tried"
    plan = age | {"obstacle": obstacle, "dry_run": True}
    session.emit(plan, lambda: [age_line(age), refused, "nothing was changed"])
    if obstacle:
        raise typer.Exit(1)


def _lines(status: CanaryStatus) -> Iterator[Part]:
    """Where the canary stands, the test, and the numbers."""
    run = status.canary
    yield (
        f"{run.pair} is tried against {run.baseline}: step {run.step}, {run.share:g}% of the callers, "
        f"{run.shadow:g}% of the queries in shadow"
    )
    yield f"{status.standing}, after {status.baked:.0f} s of {status.bake_seconds:.0f} s at this step"
    rows = ((one.measure, one.standing, one.sentence) for one in status.judgements)
    yield Rows(("test", "standing", "what was measured"), rows)
    if status.observed:
        yield _observed(status)
    following = f"promote {run.pair}" if status.next_share is None else "canary advance"
    share = "" if status.next_share is None else f" ({status.next_share:g}%)"
    yield f"next: `vecrollback {following}`{share}; back: `vecrollback canary stop --reason TEXT`"


def _observed(status: CanaryStatus) -> Rows:
    rows = (
        (name, seen.count, f"{seen.mean:.3f}", f"{seen.lowest:.3f}", f"{seen.highest:.3f}", _tail(name, seen))
        for name, seen in sorted(status.observed.items())
    )
    return Rows(("measure", "queries", "mean", "lowest", "highest", "p99"), rows, right=("queries", "mean"))


def _tail(name: str, seen: Observation) -> str | None:
    from vecrollback.serving.shadow import quantile_ms

    value = quantile_ms(seen, 0.99) if name.endswith("_ms") else None
    return None if value is None else f"about {value:.3g}"
