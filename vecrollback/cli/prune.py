"""Commands that let go of what nobody needs: retire, prune."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.session import Session, command
from vecrollback.records import PrunePlan, PruneResult, RetentionRules

app = typer.Typer()
_PANEL = "Pairs"
_FILE = "{path, bytes}"


@command(app, panel=_PANEL, returns="{pair, state}", examples=["retire v0 --reason 'replaced by v2'"])
def retire(
    session: Session,
    pair: Annotated[str, typer.Argument(help="Neither live nor the standby.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for `pairs`.")] = "",
) -> None:
    """Take a pair out of use; a later prune takes it with all its snapshots and vectors."""
    with session.store() as store:
        store.retention.retire(store.pair(pair), reason)
    session.emit({"pair": pair, "state": "retired"}, lambda: [f"{pair} is retired; `vecrollback prune` takes it"])


@command(
    app,
    panel=_PANEL,
    returns=f"{{pairs, snapshots, files: [{_FILE}], bytes, kept, spared, unknown}}",
    examples=["prune --dry-run", "prune --keep 3 --cool-down 72"],
)
def prune(
    session: Session,
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="Newest snapshots of each pair that stay.")] = 2,
    cool_down: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="What was made, live or held since then stays.")
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and why the rest stays.")] = False,
) -> None:
    """Delete retired pairs, old snapshots, and files that nothing names; what an alias, tag or searcher holds stays."""
    with session.store() as store:
        plan = store.retention.plan(RetentionRules(keep, cool_down * 3600))
        done = None if dry_run else store.retention.apply(plan)
    gone = done or plan
    payload = {
        **{name: getattr(gone, name) for name in ("pairs", "snapshots", "bytes")},
        "files": [asdict(file) for file in gone.files],
        "kept": dict(plan.kept),
        "spared": dict(done.spared) if done else {},
        "unknown": plan.unknown,
    }
    session.emit(payload, lambda: _said(plan, done))


def _said(plan: PrunePlan, done: PruneResult | None) -> list[str]:
    gone, word = (done, "gone") if done else (plan, "would go")
    size = f"{len(gone.files):,} files, {gone.bytes:,} bytes"
    lines = [f"{word}: {', '.join((*gone.pairs, *gone.snapshots)) or 'no pair, no snapshot'}; {size}"]
    lines += [f"stays: {ref} ({why})" for ref, why in sorted(plan.kept.items())] if done is None else []
    lines += [f"spared: {what} ({why})" for what, why in sorted((done.spared if done else {}).items())]
    return [*lines, *filter(None, [plan.unknown])]
