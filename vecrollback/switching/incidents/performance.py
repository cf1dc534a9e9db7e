"""How well the operation goes: time to detect, time to recover, how often it worked, how often it was rehearsed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vecrollback.catalog import Catalog
from vecrollback.records import LIVE, Drill, Incident


@dataclass(frozen=True, slots=True)
class Performance:
    """What the incidents and drills of a period come to; None where there is nothing to divide by.

    `mttd_seconds`: mean, from the promote of the bad pair to the first sign of it, or to the decision where nobody
    noted one. `mttr_seconds`: mean, from there to the last searcher's acknowledgement. `success_rate`: share of
    rollbacks that every searcher followed and whose check passed. `drill_rate`: share of drills that passed;
    `drilled_rate`: share of promotes whose way back a passed drill rehearsed.
    """

    since: str
    rollbacks: int
    succeeded: int
    success_rate: float | None
    mttd_seconds: float | None
    mttr_seconds: float | None
    answers_by_bad_pairs: int
    drills: int
    drills_passed: int
    drill_rate: float | None
    promotes: int
    drilled_rate: float | None
    last_drill: str | None
    open_incidents: tuple[int, ...]


def performance(catalog: Catalog, incidents: Sequence[Incident], *, days: float) -> Performance:
    """Sum up the last `days`. `incidents`: all there are, each with what is known by now."""
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).isoformat(timespec="microseconds")
    recent = [one for one in incidents if (one.timeline.switched or "") >= since]
    failures = [one for one in recent if one.nature == "failure"]
    succeeded = sum(map(_succeeded, recent))
    drills = [one for one in catalog.drills.all() if one.at >= since]
    passed = [one for one in drills if one.verdict == "pass"]
    promotes = {m.epoch for m in catalog.aliases.history(LIVE) if m.kind == "promote" and m.source and m.at >= since}
    return Performance(
        since=since,
        rollbacks=len(recent),
        succeeded=succeeded,
        success_rate=_share(succeeded, len(recent)),
        mttd_seconds=_mean(_between(one.timeline.began, _noticed(one)) for one in failures),
        mttr_seconds=_mean(_between(_noticed(one), _recovered(one)) for one in failures),
        answers_by_bad_pairs=sum(one.blast.answers for one in failures),
        drills=len(drills),
        drills_passed=len(passed),
        drill_rate=_share(len(passed), len(drills)),
        promotes=len(promotes),
        drilled_rate=_share(len(promotes & _rehearsed(passed)), len(promotes)),
        last_drill=max((one.at for one in drills), default=None),
        open_incidents=tuple(one.number for one in incidents if one.state == "open" and one.nature == "failure"),
    )


def _rehearsed(passed: Iterable[Drill]) -> set[int]:
    return {one.epoch for one in passed if not one.chaos}


def _succeeded(one: Incident) -> bool:
    return one.verdict == "pass" and not (one.searchers and one.searchers.missing)


def _noticed(one: Incident) -> str | None:
    return one.timeline.detected or one.timeline.decided


def _recovered(one: Incident) -> str | None:
    return one.timeline.acknowledged or one.timeline.verified


def _between(first: str | None, last: str | None) -> float | None:
    if first is None or last is None:
        return None
    return max(0.0, (dt.datetime.fromisoformat(last) - dt.datetime.fromisoformat(first)).total_seconds())


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
