"""What people read: each function turns a result into lines and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from vecrollback.cli.support.output import clean
from vecrollback.records import LIVE, CatchUp, Finding, GateOutcome, Json, Move, Report, Result, SnapshotRef, Switched

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_TEXT_WIDTH = 120
_SHOWN_IDS = 5


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A table without frames; columns named in `right` hold numbers. None shows as a dash."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*("-" if cell is None else clean(str(cell)) for cell in row))
    return made


# -- status -----------------------------------------------------------------------------------------------------------


def status(state: Json) -> Iterator[RenderableType]:
    """What serves, how far behind it is, where a rollback would go; then the pairs and the unfinished jobs."""
    yield from _live(state)
    target = state["rollback"]
    yield f"rollback  to {target['target']}" if target["target"] else f"rollback  nowhere: {target['reason']}"
    yield f"corpus    {state['corpus']['documents']:,} documents, head {state['corpus']['head']:,}"
    yield f"searchers   {len(state['searchers'])}"
    if state["pairs"]:
        yield ""
        yield pairs(state["pairs"])
    if state["jobs"]:
        yield ""
        yield "unfinished jobs (the same command goes on where it stopped)"
        yield table(
            ("job", "kind", "pair", "state", "done", "error"),
            (
                (j["id"], j["kind"], j["pair"], j["state"], _done(j["progress"]), j["error"] or None)
                for j in state["jobs"]
            ),
        )


def pairs(rows: Json) -> Table:
    columns = ("pair", "state", "embedder", "fingerprint", "dim", "snapshot", "watermark", "lag", "checked", "reason")
    return table(
        columns,
        (
            (
                p["name"],
                p["state"],
                p["embedder"],
                p["fingerprint"][:12],
                p["dimension"],
                p["snapshot"],
                p["watermark"],
                p["lag"],
                p["checked"] or "never",
                p["reason"],
            )
            for p in rows
        ),
        right=("dim", "snapshot", "watermark", "lag"),
    )


def _live(state: Json) -> Iterator[str]:
    live = state["alias"].get(LIVE)
    if live is None:
        yield "live      nothing yet: `vecrollback promote PAIR`"
        return
    pair = next(p for p in state["pairs"] if p["name"] == live["pair"])
    behind = f"{pair['lag']:,} changes behind" if pair["lag"] else "up to date"
    yield f"live      {live['pair']}@{live['snapshot']}  epoch {live['epoch']}  {pair['embedder']}  {behind}"


def _done(progress: Json) -> str | None:
    return f"{progress['documents']:,}/{progress['total']:,}" if "total" in progress else None


# -- documents --------------------------------------------------------------------------------------------------------


def result(found: Result) -> Iterator[RenderableType]:
    if not found.hits:
        yield "nothing found"
    else:
        rows = (
            (n, f"{hit.score:.4f}", hit.id, "stale" if hit.stale else "", clean(hit.text, _TEXT_WIDTH))
            for n, hit in enumerate(found.hits, 1)
        )
        yield table(("#", "score", "id", "", "text"), rows, right=("#", "score"))
    yield f"answered by {found.pair}@{found.snapshot}, epoch {found.epoch}"


# -- moves ------------------------------------------------------------------------------------------------------------


def switched(done: Switched) -> Iterator[RenderableType]:
    """What moved; then what was done about the lag; then the proof, or that the move stands without one."""
    searchers = done.searchers
    followed = (
        f"{searchers.acknowledged} of {searchers.expected} searchers follow"
        if searchers.expected
        else "no searcher runs"
    )
    yield (
        f"{done.alias}: {done.source or 'nothing'} -> {done.target}  epoch {done.epoch}  "
        f"{done.switch_ms:.1f} ms  {followed}"
    )
    if searchers.missing:
        yield f"not heard from: {', '.join(searchers.missing)}"
    if done.caught_up is not None:
        yield caught_up(done.caught_up)
    if done.report is not None:
        yield from report(done.report)
    if done.gates:
        yield gates(done.gates)
    if done.caught_up is None and done.lag:
        pair = SnapshotRef.parse(done.target).pair
        yield f"{pair} is {done.lag:,} changes behind: `vecrollback catch-up {pair}`"


def gates(found: Iterable[GateOutcome]) -> Table:
    """A line for each gate."""
    return table(("gate", "", "found"), ((one.gate, one.outcome, one.sentence) for one in found))


def stands(done: Switched) -> str:
    """The sentence for a move that happened while something after it did not go well."""
    pair = SnapshotRef.parse(done.target).pair
    trouble = done.trouble or (f"the check says {done.report.verdict}" if done.report else "")
    return (
        f"the switch itself stands: {done.target} is live. After it: {trouble}\n"
        f"hint: `vecrollback catch-up {pair}`, then `vecrollback check {pair}`"
    )


def caught_up(done: CatchUp) -> str:
    return (
        f"{done.pair}: {done.documents:,} changes taken in, {done.embedded:,} texts embedded, {done.reused:,} reused, "
        f"{done.seconds:.1f} s; {done.lag:,} left"
    )


def history(moves: Iterable[Move]) -> Table:
    rows = ((m.epoch, m.at[:19], m.alias, m.kind, m.source, m.target, m.actor, m.reason) for m in moves)
    return table(("epoch", "at (UTC)", "alias", "kind", "from", "to", "by", "reason"), rows, right=("epoch",))


# -- proof ------------------------------------------------------------------------------------------------------------


def report(found: Report) -> Iterator[RenderableType]:
    yield f"check of {found.pair}@{found.snapshot} ({found.level}): {found.verdict}"
    if found.findings:
        rows = ((f.severity, f.kind, f.count, f.law, f.message, _ids(f)) for f in found.findings)
        yield table(("severity", "kind", "count", "law broken", "found", "ids"), rows, right=("count",))
    if (proof := found.certificate) is not None:
        which = "vectors that were not re-embedded" if found.level == "audit" else "vectors"
        sensitivity = f"; sensitivity {proof.sensitivity:.3f}" if proof.sensitivity < 1 else ""
        yield (
            f"at most {proof.bound:.2%} of {proof.population:,} {which} are foreign, at {proof.confidence:.0%} "
            f"confidence ({proof.sampled:,} drawn at random, {proof.foreign:,} differed{sensitivity})"
        )


def repaired(before: Report, after: Report | None) -> Iterator[RenderableType]:
    yield from report(before)
    if after is None:
        yield "nothing was changed" if before.findings else "nothing to repair"
    else:
        yield "repaired; and now:"
        yield from report(after)


def _ids(finding: Finding) -> str:
    more = f" and {finding.count - _SHOWN_IDS} more" if finding.count > _SHOWN_IDS else ""
    return ", ".join(finding.ids[:_SHOWN_IDS]) + more


# -- snapshots --------------------------------------------------------------------------------------------------------


def snapshots(taken: Json) -> Table:
    rows = (
        (s["ref"], s["created_at"][:19], s["watermark"], s["chunks"], _recall(s["recall"]), ", ".join(s["tags"]))
        for s in taken
    )
    columns = ("snapshot", "taken (UTC)", "watermark", "chunks", "recall@10", "tags")
    return table(columns, rows, right=("watermark", "chunks", "recall@10"))


def _recall(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def facts(values: Json) -> Table:
    """Names and values, one a line; what is nested is shown as JSON."""
    shown = table(("", ""), ((name, _plain(value)) for name, value in values.items()))
    shown.show_header = False
    return shown


def _plain(value: Json) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
