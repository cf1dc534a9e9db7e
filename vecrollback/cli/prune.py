"""Delete what nobody needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vecrollback.cli.support.output import counted
from vecrollback.cli.support.session import Session, command
from vecrollback.records import Json, PrunePlan, PruneResult, RetentionRules

app = typer.Typer(add_completion=False)
_FILE = "{path, bytes}"
_WORDS = {"jobs": ("job", "jobs"), "reports": ("check", "checks"), "audit": ("audit entry", "audit entries")}
_TABLE = "{table, files, bytes, merges, versions, obsolete_bytes}"


@command(
    app,
    returns=f"{{pairs, snapshots, files: [{_FILE}], bytes, kept, spared, unknown, records: {{jobs, reports, audit}}, "
    f"tables: [{_TABLE}]}}",
    examples=["prune --dry-run", "prune --keep 3 --cool-down 72"],
)
def prune(
    session: Session,
    keep: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many of the newest snapshots of each pair stay.")
    ] = 2,
    cool_down: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="What was made, live or in use since then stays.")
    ] = 72.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted, and why the rest stays.")
    ] = False,
) -> None:
    """Delete retired pairs, old snapshots and files nothing needs.

    What an alias, a tag, a serving process or the cool-down needs stays. Records of finished work go when newer ones
    are many; small files of tables are merged, and versions of them that nobody needs are cleaned away.
    """
    with session.store() as store:
        plan = store.retention.plan(RetentionRules(keep, cool_down * 3600))
        result = None if dry_run else store.retention.apply(plan)
    session.emit(_payload(plan, result), lambda: _lines(plan, result))


def _payload(plan: PrunePlan, result: PruneResult | None) -> Json:
    deleted = result or plan
    return {
        **{name: getattr(deleted, name) for name in ("pairs", "snapshots", "bytes")},
        "files": [asdict(file) for file in deleted.files],
        "kept": dict(plan.kept),
        "spared": dict(result.spared) if result else {},
        "unknown": plan.unknown,
        "records": dict(deleted.records),
        "tables": [asdict(table) for table in deleted.tables],
    }


def _lines(plan: PrunePlan, result: PruneResult | None) -> list[str]:
    deleted, verb = (result, "deleted") if result else (plan, "would delete")
    size = f"{counted(len(deleted.files), 'file')}, {deleted.bytes:,} bytes"
    lines = [f"{verb}: {', '.join((*deleted.pairs, *deleted.snapshots)) or 'no pair, no snapshot'}; {size}"]
    if result is None:
        lines += [f"stays: {ref} ({why})" for ref, why in sorted(plan.kept.items())]
    else:
        lines += [f"left alone: {what} ({why})" for what, why in sorted(result.spared.items())]
    if rows := [counted(count, *_WORDS[name]) for name, count in deleted.records.items() if count]:
        lines.append(f"{verb}: records of {', '.join(rows)}")
    for table in deleted.tables:
        would = (
            f"; would merge {table.merges:,} files, clean {counted(table.versions, 'version')}" if not result else ""
        )
        obsolete = f", {table.obsolete_bytes:,} bytes" if table.obsolete_bytes and not result else ""
        lines.append(f"{table.table}: {counted(table.files, 'file')}, {table.bytes:,} bytes{would}{obsolete}")
    return [*lines, *filter(None, [plan.unknown])]
