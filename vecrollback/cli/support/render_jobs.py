"""What people read about long work: plans and jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vecrollback.cli.support.render import table
from vecrollback.records import JobRecord, Json, Plan, RuntimeBatches, UnembeddedDocument

if TYPE_CHECKING:
    from rich.console import RenderableType


def plan(made: Plan) -> Iterator[str]:
    """What a job would take, a line for each thing that somebody may decide by."""
    verb = "go on with" if made.resumes else "make"
    yield f"would {verb} pair {made.pair} with {made.embedder} ({made.fingerprint[:12]}), index {made.index}"
    yield f"documents {made.documents:,}; {made.reused:,} have vectors already"
    yield f"to embed  {made.texts:,} different texts, {made.chunks:,} chunks, {made.tokens:,} tokens{_exactness(made)}"
    yield f"time      {_time(made)}"
    yield "money     " + ("no price known: --price" if made.dollars is None else f"${made.dollars:,.2f}")
    yield f"disk      {size(made.disk)} of {size(made.disk_free)} free"
    if made.stale_documents is not None:
        yield f"rollback  {_stale(made)}"


def _exactness(made: Plan) -> str:
    if made.estimated:
        return ", estimated from their length"
    return f" ±{made.error:.1%}, from {made.counted:,} texts" if made.error else ", counted"


def _time(made: Plan) -> str:
    if made.seconds is None or made.tokens_per_second is None:
        return "not measured" if made.texts else "nothing to embed"
    return (
        f"{duration(made.seconds)} of embedding at {made.tokens_per_second:,.0f} tokens/s, {made.measured} timed here"
    )


def _stale(made: Plan) -> str:
    if not made.stale_documents:
        return "the live pair would have nothing to catch up"
    took = "" if made.stale_seconds is None else f", stale for {duration(made.stale_seconds)} at most"
    return f"without a worker the live pair would have {made.stale_documents:,} changes to catch up{took}"


def jobs(found: Sequence[JobRecord]) -> Iterator[RenderableType]:
    """A line for each job."""
    if not found:
        yield "no unfinished job"
        return
    columns = ("job", "kind", "pair", "state", "done", "phase", "process", "since (UTC)", "error")
    yield table(columns, (_job_row(one) for one in found))


def _job_row(one: JobRecord) -> tuple[object, ...]:
    progress = one.progress
    done = f"{progress['documents']:,}/{progress['total']:,}" if "total" in progress else None
    state = "pausing" if one.paused and progress.get("phase") != "paused" and one.state == "running" else one.state
    process = f"{one.pid}@{one.host}" if one.host else None
    phase = progress.get("phase") if one.state == "running" else None
    return one.id, one.kind, one.pair, state, done, phase, process, one.started_at[:19], one.error or None


def job(
    found: JobRecord, without: Sequence[UnembeddedDocument], made: Sequence[RuntimeBatches]
) -> Iterator[RenderableType]:
    """A job, what it could not embed, and which runtimes did the rest."""
    yield from jobs([found])
    yield from embedded(found.progress)
    for one in made:
        tokens = one.body.get("batch_tokens")  # stores that older versions wrote do not say it
        size = f", {tokens:,} tokens at a time" if tokens else ""
        yield f"batches {one.first} to {one.last} by {one.runtime}{size}"
    if without:
        yield ""
        yield "documents it could not embed (a new text, or `vecrollback repair`, tries again)"
        yield table(("document", "seq", "reason"), ((one.document, one.seq, one.reason) for one in without))


def given_up(count: int, job: str) -> Iterator[str]:
    """The line after a job that left documents out."""
    if count:
        yield f"{count:,} documents could not be embedded: `vecrollback jobs show {job}`"


def pace(tokens_per_second: float, share: float | None) -> str:
    """How fast texts are embedded, and how much faster they could be at most."""
    told = "" if share is None else f", {share:.0%} of what the arithmetic allows"
    return f"{tokens_per_second:,.0f} tokens/s{told}"


def embedded(progress: Mapping[str, Json]) -> Iterator[str]:
    """The line about what a finished job embedded, from its record."""
    if progress.get("tokens_per_second"):
        paced = pace(float(str(progress["tokens_per_second"])), _share(progress))
        yield f"{progress['chunks']:,} chunks, {progress['tokens']:,} tokens at {paced}"


def _share(progress: Mapping[str, Json]) -> float | None:
    share = progress.get("share_of_ceiling")
    return share if isinstance(share, float) else None


def duration(seconds: float) -> str:
    """Seconds for people: the two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    left = round(seconds)
    for name, length in units:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
