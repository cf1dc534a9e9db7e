"""Commands that tell how things stand and prove it: status, history, check, purity, repair."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vecrollback.cli import render
from vecrollback.cli.session import Session, command
from vecrollback.records import Report
from vecrollback.store import payloads

app = typer.Typer()
_PANEL = "Status and proof"
_REPORT = (
    "{pair, snapshot, level, verdict: pass|fail|unknown, findings: [{law, kind, count, ids, message, severity}], "
    "certificate: {sampled, foreign, population, bound, confidence, sensitivity}|null, watermark, head, at, examined}"
)

PairArgument = Annotated[str | None, typer.Argument(metavar="[PAIR]", help="Default: the live pair.")]


def share(value: str) -> float:
    """Read a share of everything: 1% or 0.01."""
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is neither like 1% nor like 0.01") from None
    if not 0 < number < 1:
        raise typer.BadParameter(f"{value} is not between 0% and 100%")
    return number


def _sample(value: str) -> int:
    if value == "all":
        return sys.maxsize
    if not value.isdecimal() or not int(value):
        raise typer.BadParameter(f"{value!r} is neither a number of chunks nor `all`")
    return int(value)


@command(
    app,
    panel=_PANEL,
    returns="{store, catalog, alias: {live: {pair, snapshot, epoch}}, corpus: {head, documents}, "
    "pairs: [{name, state, reason, embedder, fingerprint, dimension, index, snapshot, watermark, lag, checked}], "
    "searchers: [{host, pid, epoch}], jobs: [{id, kind, pair, state, progress, error}], rollback: {target, reason}}",
)
def status(session: Session) -> None:
    """Show what is live, how far behind it is, where a rollback would go right now, and what is unfinished."""
    with session.store() as store:
        state = payloads.status(store)
    session.emit(state, lambda: render.status(state))


@command(
    app,
    panel=_PANEL,
    returns="{moves: [{number, alias, epoch, kind, from, to, reason, actor, at, previous_hash, hash}]}",
    examples=["history --limit 5"],
)
def history(
    session: Session,
    alias: Annotated[str | None, typer.Option(metavar="NAME", help="Only this alias, live for example.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N.")] = None,
) -> None:
    """List pointer moves, newest first: when, from where to where, by whom and why."""
    with session.store() as store:
        moves = store.history(alias=alias, limit=limit)
    session.emit(payloads.moves(moves), lambda: [render.history(moves)] if moves else ["nothing has moved yet"])


@command(
    app,
    panel=_PANEL,
    returns=_REPORT,
    examples=["check", "check v1 --bound 0.1% --confidence 99%", "check v1 --sample all"],
)
def check(
    session: Session,
    pair: PairArgument = None,
    quick: Annotated[bool, typer.Option("--quick", help="Catalog and files only: no vectors, no model.")] = False,
    bound: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="Largest share of foreign vectors to rule out.")
    ] = "1%",  # type: ignore[assignment]
    confidence: Annotated[float, typer.Option(parser=share, metavar="SHARE", help="With what certainty.")] = "95%",  # type: ignore[assignment]
    sample: Annotated[
        int | None,
        typer.Option(parser=_sample, metavar="N|all", help="Chunks to re-embed. Default: what --bound needs."),
    ] = None,
) -> None:
    """Audit a pair against the log; exit code 1 unless it passes, also when something could not be examined."""
    with session.store() as store:
        level = "quick" if quick else "full"
        found = store.check(pair, level, bound=bound, confidence=confidence, sample=sample)  # type: ignore[arg-type]
    session.emit(payloads.report(found), lambda: render.report(found))
    _exit_by(found)


@command(
    app,
    panel=_PANEL,
    returns=_REPORT,
    examples=["purity", "purity v1 --budget 2%", "purity v1 --suspect v2 --bound 0.1% --confidence 99%"],
)
def purity(
    session: Session,
    pair: PairArgument = None,
    suspect: Annotated[
        list[str] | None,
        typer.Option(metavar="EMBEDDER", help="Pair or embedder that may have written. Default: the store's pairs."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="SHARE|N", help="Embed at most so many: 2% of the chunks, or 500 texts."),
    ] = None,
    bound: Annotated[
        float, typer.Option(parser=share, metavar="SHARE", help="Largest share of foreign vectors left to rule out.")
    ] = "0.1%",  # type: ignore[assignment]
    confidence: Annotated[float, typer.Option(parser=share, metavar="SHARE", help="With what certainty.")] = "99%",  # type: ignore[assignment]
) -> None:
    """Search a pair for vectors its embedder did not make, and certify the rest; exit code 1 unless it passes."""
    with session.store() as store, session.watch() as watch:
        found = store.audit(
            pair, suspects=suspect or None, budget=budget, bound=bound, confidence=confidence, progress=watch
        )
    session.emit(payloads.report(found), lambda: render.report(found))
    _exit_by(found)


@command(
    app,
    panel=_PANEL,
    returns="{before: report, after: report|null}, each as check prints it; null when nothing was repaired",
    examples=["repair v1 --dry-run", "repair v1", "repair v1 --found --mask"],
)
def repair(
    session: Session,
    pair: PairArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be repaired; change nothing.")] = False,
    found: Annotated[
        bool, typer.Option("--found", help="Repair what the newest kept report found, such as an audit.")
    ] = False,
    mask: Annotated[
        bool, typer.Option("--mask/--keep", help="Meanwhile answer without foreign vectors, or still with them.")
    ] = False,
) -> None:
    """Check a pair, re-embed and rewrite only what was found, and check it again."""
    with session.store() as store, session.watch() as watch:
        before = (store.report(pair or store.live()) if found else None) or store.check(pair)
        after = None if dry_run or before.verdict == "pass" else store.repair(before, mask=mask, progress=watch)
    payload = {"before": payloads.report(before), "after": payloads.report(after) if after else None}
    session.emit(payload, lambda: render.repaired(before, after))
    _exit_by(after or before)


def _exit_by(report: Report) -> None:
    if report.verdict != "pass":
        raise typer.Exit(1)
