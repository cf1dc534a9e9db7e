"""Go back to the pair that was live before."""

from __future__ import annotations

from typing import Annotated

import typer

from vecrollback.cli.support.moves import STOPPED, SWITCH, NeededReason, NoCatchUp, Override, Wait, show_switch
from vecrollback.cli.support.output import counted, note
from vecrollback.cli.support.session import Session, command
from vecrollback.errors import UsageError
from vecrollback.records import CorpusRollback, Json
from vecrollback.store import payloads

app = typer.Typer(add_completion=False)


@command(
    app,
    returns=SWITCH
    + "; with --dry-run {target, watermark, lag, checked, model, dry_run}; with --corpus {to, head, changed, "
    "returning, withdrawn, kept_new, erased, embed, changes, dry_run, caught_up, trouble}",
    examples=[
        "rollback --dry-run",
        "rollback --reason 'answers got worse'",
        "rollback --to v1 --reason TEXT",
        "rollback --corpus 4711 --dry-run",
        "rollback --corpus 2026-01-31T12:00 --keep-new --reason 'a faulty import'",
    ],
)
def rollback(
    session: Session,
    to: Annotated[str | None, typer.Option("--to", metavar="PAIR", help="Default: the last one fit to serve.")] = None,
    reason: NeededReason = "",
    override: Override = False,
    no_catch_up: NoCatchUp = False,
    wait: Wait = 10.0,
    corpus: Annotated[
        str | None,
        typer.Option(
            "--corpus",
            metavar="SEQ|TIME",
            help="Take the documents back instead, to what they were at this change or time (UTC).",
        ),
    ] = None,
    keep_new: Annotated[bool, typer.Option("--keep-new", help="With --corpus: keep documents new since.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show where it would go; change nothing.")] = False,
) -> None:
    """Go back to the pair that was live before: model and index.

    The older pair serves at once. Then it is brought up to date with its own model, and checked. With --corpus the pair
    stays, and the documents become what they were: texts and deletions at once, vectors with the catch-up that follows,
    which embeds only what no pair has a vector of. What was deleted since stays deleted for good.
    """
    if corpus is not None:
        if to is not None or override:
            raise UsageError("--corpus leaves the pair as it is", hint="leave --to and --override out, or --corpus")
        _corpus(session, corpus, reason, keep_new=keep_new, catch_up=not no_catch_up, dry_run=dry_run)
        return
    if keep_new:
        raise UsageError("--keep-new is about documents", hint="add --corpus SEQ|TIME")
    if dry_run:
        _plan(session, to, override)
        return
    with session.store() as store, session.watch(finish=True, cure=STOPPED) as watch:
        switched = store.rollback(
            to, reason=reason, override=override, catch_up=not no_catch_up, progress=watch, wait=wait
        )
    show_switch(session, switched)


def _plan(session: Session, to: str | None, override: bool) -> None:
    with session.store() as store:
        target = store.rollback_target(to, override=override)
        pair = payloads.pair(store, target.pair)
    plan = {
        "target": target.ref,
        "watermark": pair["watermark"],
        "lag": pair["lag"],
        "checked": pair["checked"],
        "model": pair["model"],
        "dry_run": True,
    }
    behind = counted(pair["lag"], "change")
    line = f"a rollback would go to {target.ref}: {behind} behind, last check {pair['checked'] or 'none'}"
    session.emit(plan, lambda: [line, _model_line(target.pair, pair["model"]), "nothing was changed"])


def _model_line(name: str, model: Json) -> str:
    if model["answers"] == "unknown":
        return f"nobody asked its model within the last quarter of an hour: `vecrollback embedder ask {name}`"
    verb = "answered" if model["answers"] == "pass" else "did not answer"
    return f"its model {verb} when it was asked at {model['asked_at'][:19]}: {model['said']}"


def _corpus(session: Session, to: str, reason: str, *, keep_new: bool, catch_up: bool, dry_run: bool) -> None:
    with session.store() as store, session.watch(finish=True) as watch:
        if dry_run:
            done = CorpusRollback(plan := store.time_travel.plan(to, keep_new=keep_new), plan.head)
        else:
            done = store.time_travel.rollback(to, reason=reason, keep_new=keep_new, catch_up=catch_up, progress=watch)
    session.emit(payloads.corpus_rollback(done, dry_run=dry_run), lambda: _corpus_lines(done, dry_run))
    if done.trouble:
        note(f"the documents were taken back; after that: {done.trouble}")
        raise typer.Exit(1)


def _corpus_lines(done: CorpusRollback, dry_run: bool) -> list[str]:
    plan = done.plan
    rows = [
        (plan.changed, "back to what they were"),
        (plan.returning, "back in the answers"),
        (plan.withdrawn, "new since then, out of every answer"),
        (plan.kept_new, "new since then, and left"),
        (plan.erased, "deleted since then, for good"),
    ]
    lines = [f"{words}: {counted(len(ids), 'document')} ({_first(ids)})" for ids, words in rows if ids]
    if dry_run:
        lines.insert(0, f"a rollback of the documents to change {plan.to:,}:")
    embed = ", ".join(f"{pair} {count:,}" for pair, count in plan.embed.items())
    lines += [f"texts that no vector exists of: {embed}"] if embed else []
    for caught_up in done.caught_up:
        lines.append(f"{caught_up.pair}: {caught_up.reused:,} used again, {caught_up.embedded:,} embedded")
    if not plan.changes:
        lines.insert(0, f"the documents are what they were at change {plan.to:,}")
    end = "nothing was changed" if dry_run else f"now at change {done.head:,}; undo: `rollback --corpus {plan.head}`"
    return [*lines, end]


def _first(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
