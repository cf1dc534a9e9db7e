"""An incident as Markdown: what is known filled in, what only people know left to fill in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vecrollback.records import Finding, GateOutcome, GoldenQuery, Incident, Json, Notice, PostCheck

_STEPS = {
    "began": "the pair that was left became live",
    "detected": "first sign",
    "decided": "rollback ordered",
    "switched": "`live` moved",
    "acknowledged": "last searcher followed",
    "caught_up": "changes since taken in",
    "verified": "check ended",
}
_BLANK = "_to fill in_"


@dataclass(frozen=True, slots=True)
class IncidentContext:
    """What the catalog knows around an incident.

    Attributes:
        overridden: Gates that the pair which was left had not passed when it was promoted.
        notices: What was sent about the incident, to whom.
        queries: Golden queries that were made of it.
    """

    overridden: tuple[GateOutcome, ...] = ()
    notices: tuple[Notice, ...] = ()
    queries: tuple[GoldenQuery, ...] = ()


def markdown(one: Incident, context: IncidentContext | None = None) -> str:
    """The incident as a report to complete."""
    around = context or IncidentContext()
    parts = (_head(one), _timeline(one), _trigger(one), _overridden(around), _blast(one), _proof(one))
    return "\n".join([*(line for part in parts for line in part), *_failed(one), *_told(around), *_rest(one, around)])


def summary(one: Incident) -> str:
    """The incident in two sentences, for whoever reads nothing else."""
    when = (one.timeline.switched or "")[:16].replace("T", " ")
    began = f"{one.actor} moved `{one.alias}` from {one.source} to {one.target} at {when} UTC: {_cell(one.reason)}."
    if one.nature != "failure":
        return f"{began} {_NATURES[one.nature]}."
    proof = {"pass": "the check after it passed", None: "no check has ended since"}
    end = proof.get(one.verdict, f"the check after it says {one.verdict}")
    return f"{began} {one.blast.answers:,} answers of {one.blast.pair} had been given by then; {end}."


_NATURES = {
    "planned": "It was planned: nothing was wrong with the pair that was left",
    "false_alarm": "It was a false alarm: the pair that was left had answered well",
}


def _head(one: Incident) -> Iterator[str]:
    yield f"# Incident {one.number}: {one.source} to {one.target}"
    yield f"\n{summary(one)}\n"
    yield f"| | |\n|---|---|\n| state | {one.state} |\n| move | {one.kind} of `{one.alias}`, epoch {one.epoch} |"
    yield f"| reason | {_cell(one.reason)} |\n| by | {_cell(one.actor)} |"
    yield f"| cause | {_cell(one.notes.get('cause', _BLANK))} |\n| who was affected | {_BLANK} |\n"


def _timeline(one: Incident) -> Iterator[str]:
    yield "## Timeline\n\n| UTC | after the switch | what |\n|---|---|---|"
    followed = one.searchers is None or one.searchers.expected > 0
    steps = [name for name in _STEPS if followed or name != "acknowledged"]
    times: dict[str, str | None] = {name: getattr(one.timeline, name) for name in steps}
    # By the clock; what nobody noted stays behind the step before it.
    latest, places = "", {}
    for name, at in times.items():
        latest = at or latest
        places[name] = latest
    for name in sorted(times, key=places.__getitem__):
        at = times[name]
        yield f"| {at[:23] if at else _BLANK} | {_after(one.timeline.switched, at)} | {_STEPS[name]} |"
    yield ""


def _after(switched: str | None, at: str | None) -> str:
    if switched is None or at is None:
        return ""
    seconds = (dt.datetime.fromisoformat(at) - dt.datetime.fromisoformat(switched)).total_seconds()
    return f"{seconds:+,.3f} s" if abs(seconds) < 60 else f"{seconds / 60:+,.1f} min"


def _trigger(one: Incident) -> Iterator[str]:
    yield "## What triggered it\n"
    if not one.trigger:
        yield f"A person decided. What was seen first, and by whom: {_BLANK}\n"
        return
    yield "| metric | measured | condition |\n|---|---|---|"
    metrics: list[dict[str, Json]] = one.trigger.get("metrics", [])
    for metric in metrics:
        yield f"| {_cell(metric['metric'])} | {metric['value']} | {_cell(metric['condition'])} |"
    yield ""


def _overridden(around: IncidentContext) -> Iterator[str]:
    if not around.overridden:
        return
    yield "## Gates that were overridden\n"
    yield "When the pair that was left was promoted, somebody passed these by an override:\n"
    yield "| gate | outcome | what was measured |\n|---|---|---|"
    for gate in around.overridden:
        yield f"| {_cell(gate.gate)} | {gate.outcome} | {_cell(gate.sentence)} |"
    yield ""


def _blast(one: Incident) -> Iterator[str]:
    blast = one.blast
    yield "## Blast radius\n"
    if one.nature != "failure":
        why = "This move was planned" if one.nature == "planned" else "This was a false alarm"
        yield f"{why}: the pair that was left answered well, and no answer counts as a bad one.\n"
        return
    epochs = (
        f"Epoch {blast.first_epoch} was"
        if blast.first_epoch == blast.last_epoch
        else (f"Epochs {blast.first_epoch} to {blast.last_epoch} were")
    )
    queries = "1 query" if blast.answers == 1 else f"{blast.answers:,} queries"
    searchers = "1 long-lived searcher" if blast.searchers == 1 else f"{blast.searchers} long-lived searchers"
    yield f"{epochs} answered by pair `{blast.pair}`: {queries}, counted by {searchers}."
    if blast.canary_answers:
        yield f"{blast.canary_answers:,} of them it gave as a canary, before it served everybody."
    if blast.since and blast.until:
        yield f"First answer {blast.since[:23]}, last {blast.until[:23]} (UTC)."
    yield f"Results that were stored, sent or cached outside: {_BLANK}\n"


def _proof(one: Incident) -> Iterator[str]:
    yield "## Is it right again?\n"
    yield f"Check of {one.target}: {one.verdict or 'not ended yet'}."
    yield from _findings(one.findings)
    if one.searchers is not None:
        silent = f", not heard from: {', '.join(one.searchers.missing)}" if one.searchers.missing else ""
        yield f"Searchers: {one.searchers.acknowledged} of {one.searchers.expected} follow{silent}."
    if (check := one.post_check) is not None:
        yield (
            f"Probe queries: {check.same} of {check.queries} answered as when the snapshot was taken "
            f"(mean overlap {check.overlap:.1%})."
        )
        if check.latency_ms is not None and check.latency_before_ms is not None:
            yield f"Latency p99: {check.latency_ms:.1f} ms; before, {check.latency_before_ms:.1f} ms."
        if check.quality is not None:
            yield f"Golden queries: {_quality(check)}."
    yield ""


def _quality(check: PostCheck) -> str:
    """How well they are answered, beside what it was before."""
    others = {"when this pair served before": check.quality_before, "of the pair that was left": check.quality_left}
    compared = [f"{value:.3f} {what}" for what, value in others.items() if value is not None]
    return "; ".join([f"nDCG@10 {check.quality:.3f} now", *compared])


def _failed(one: Incident) -> Iterator[str]:
    yield "## The pair that was left\n"
    yield f"Kept as it was by the tag `{one.archived}`." if one.archived else "Not kept by a tag."
    if one.failed_findings:
        yield "Its last check before the switch:"
        yield from _findings(one.failed_findings)
    yield ""


def _told(around: IncidentContext) -> Iterator[str]:
    yield "## Who was told\n"
    if not around.notices:
        yield f"Nobody, by the policy. By people: {_BLANK}\n"
        return
    yield "| channel | message | state | when |\n|---|---|---|---|"
    for notice in around.notices:
        state = notice.state if not notice.error else f"{notice.state}: {notice.error}"
        yield f"| {_cell(notice.channel)} | {_cell(notice.body['event'])} | {_cell(state)} | {notice.at[:19]} |"
    yield ""


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    yield from (f"- {one.severity}: {_cell(one.message)} ({one.kind}, {one.count})" for one in findings)


def _rest(one: Incident, around: IncidentContext) -> Iterator[str]:
    if one.trouble:
        yield f"## Trouble\n\n{one.trouble}\n"
    for heading in ("Why it was not seen before the promote", "What went well", "What did not", "What will be changed"):
        yield f"## {heading}\n\n{_BLANK}\n"
    if around.queries:
        yield "Queries that failed, golden since:\n"
        for query in around.queries:
            yield f"- {_cell(query.text)} (expected {_cell(', '.join(query.expected) or 'nothing in particular')})"
        yield ""
    yield "Queries that failed become golden queries:"
    yield f"\n    vecrollback incident add-golden {one.number} --query 'the words' --expect DOCUMENT-ID"


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
