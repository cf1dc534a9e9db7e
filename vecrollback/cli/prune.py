"""Delete what nobody needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.session import Session, command
from vecrollback.records import PrunePlan, PruneResult, RetentionRules

app = typer.Typer(add_completion=False)
_FILE = "{path, bytes}"


@command(
    app,
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
    """Delete retired pairs, old snapshots and files nothing needs.

    What an alias, a tag, a serving process or the cool-down needs stays.
    """
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
