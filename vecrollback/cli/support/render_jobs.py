"""What people read about long work: plans and jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vecrollback.cli.support.output import counted
from vecrollback.cli.support.tables import Rows, when
from vecrollback.records import JobRecord, Json, Plan, RuntimeBatches, UnembeddedDocument

if TYPE_CHECKING:
    from vecrollback.cli.support.tables import Part


def plan(cost: Plan) -> Iterator[str]:
    """What a job would take, a line for each thing that somebody may decide by."""
    verb = "go on with" if cost.resumes else "make"
    yield f"would {verb} pair {cost.pair} with {cost.embedder} ({cost.fingerprint[:12]}), index {cost.index}"
    yield f"documents {cost.documents:,}; {cost.reused:,} have vectors already"
    yield f"to embed  {cost.texts:,} different texts, {cost.chunks:,} chunks, {cost.tokens:,} tokens{_exactness(cost)}"
    if cost.cut:
        yield f"cut       {cost.cut:,} chunks are longer than the model reads: chunk= makes them shorter"
    yield f"time      {_time(cost)}"
    yield "money     " + (
        "no price is known; --price DOLLARS sets it, for a million tokens"
        if cost.dollars is None
        else f"${cost.dollars:,.2f}"
    )
    yield f"disk      {size(cost.disk)} of {size(cost.disk_free)} free"
    if cost.model_bytes:
        yield f"model     {size(cost.model_bytes)} of it are the model's files, which the store keeps with the pair"
    if cost.stale_documents is not None:
        yield f"rollback  {_stale(cost)}"


def _exactness(cost: Plan) -> str:
    if cost.estimated:
        return ", estimated from their length"
    return f" ±{cost.error:.1%}, from {cost.counted:,} texts" if cost.error else ", counted"


def _time(cost: Plan) -> str:
    if cost.seconds is None or cost.tokens_per_second is None:
        return "not measured" if cost.texts else "nothing to embed"
    return (
        f"{duration(cost.seconds)} of embedding at {cost.tokens_per_second:,.0f} tokens/s, {cost.measured} timed here"
    )


def _stale(cost: Plan) -> str:
    if not cost.stale_documents:
        return "meanwhile the live pair misses no change"
    took = "" if cost.stale_seconds is None else f", stale for {duration(cost.stale_seconds)} at most"
    return f"without a worker the live pair would have {cost.stale_documents:,} changes to catch up{took}"


def jobs(records: Sequence[JobRecord]) -> Iterator[Part]:
    """A line for each job."""
    if not records:
        yield "no unfinished job"
        return
    columns = ("job", "kind", "pair", "state", "progress", "phase", "process", "since", "error")
    yield Rows(columns, (_job_row(one) for one in records))


def _job_row(one: JobRecord) -> tuple[object, ...]:
    progress = one.progress
    done = f"{progress['documents']:,}/{progress['total']:,}" if "total" in progress else None
    state = "pausing" if one.paused and progress.get("phase") != "paused" and one.state == "running" else one.state
    process = f"{one.pid}@{one.host}" if one.host else None
    phase = progress.get("phase") if one.state == "running" else None
    return one.id, one.kind, one.pair, state, done, phase, process, when(one.started_at), one.error or None


def job(record: JobRecord, left_out: Sequence[UnembeddedDocument], batches: Sequence[RuntimeBatches]) -> Iterator[Part]:
    """A job, what it could not embed, and which runtimes did the rest."""
    yield from jobs([record])
    yield from embedded(record.progress)
    for one in batches:
        tokens = one.body.get("batch_tokens")  # stores that older versions wrote do not say it
        size = f", {tokens:,} tokens at a time" if tokens else ""
        yield f"batches {one.first} to {one.last} by {one.runtime}{size}"
    if left_out:
        yield ""
        cures = f"a new text, or `vecrollback repair`, tries again; `vecrollback accept {record.pair}` leaves them so"
        yield f"documents it could not embed ({cures})"
        yield Rows(("document", "seq", "reason"), ((one.document, one.seq, one.reason) for one in left_out))


def given_up(count: int, job: str) -> Iterator[str]:
    """The line after a job that left documents out."""
    if count:
        yield f"{counted(count, 'document')} could not be embedded: `vecrollback jobs show {job}`"


def pace(tokens_per_second: float, share: float | None) -> str:
    """How fast texts are embedded, and how much faster they could be at most."""
    of_limit = "" if share is None else f", {share:.0%} of what the arithmetic allows"
    return f"{tokens_per_second:,.0f} tokens/s{of_limit}"


def embedded(progress: Mapping[str, Json]) -> Iterator[str]:
    """The line about what a finished job embedded, from its record."""
    if progress.get("tokens_per_second"):
        paced = pace(float(str(progress["tokens_per_second"])), _share(progress))
        chunks, tokens = (int(str(progress[name])) for name in ("chunks", "tokens"))
        yield f"{counted(chunks, 'chunk')}, {counted(tokens, 'token')} at {paced}"


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
