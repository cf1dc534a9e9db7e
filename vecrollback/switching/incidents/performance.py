"""Measures of operation: time to detect, time to recover, share of rollbacks that worked, share that was rehearsed."""

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
    """Sum up the last `days`. `incidents`: all of the store's, each completed first."""
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).isoformat(timespec="microseconds")
    recent = [one for one in incidents if (one.timeline.switched or "") >= since]
    failures = [one for one in recent if one.nature == "failure"]
    successes = sum(map(_is_success, recent))
    drills = [one for one in catalog.drills.all() if one.at >= since]
    passes = [one for one in drills if one.verdict == "pass"]
    promotes = {m.epoch for m in catalog.aliases.history(LIVE, kinds=["promote"], since=since) if m.source}
    return Performance(
        since=since,
        rollbacks=len(recent),
        succeeded=successes,
        success_rate=_share(successes, len(recent)),
        mttd_seconds=_mean(_between(one.timeline.began, _time_of_notice(one)) for one in failures),
        mttr_seconds=_mean(_between(_time_of_notice(one), _time_of_recovery(one)) for one in failures),
        answers_by_bad_pairs=sum(one.blast.answers for one in failures),
        drills=len(drills),
        drills_passed=len(passes),
        drill_rate=_share(len(passes), len(drills)),
        promotes=len(promotes),
        drilled_rate=_share(len(promotes & _epochs_of(passes)), len(promotes)),
        last_drill=max((one.at for one in drills), default=None),
        open_incidents=tuple(one.number for one in incidents if one.state == "open" and one.nature == "failure"),
    )


def _epochs_of(drills: Iterable[Drill]) -> set[int]:
    return {one.epoch for one in drills if not one.chaos}


def _is_success(one: Incident) -> bool:
    return one.verdict == "pass" and not (one.searchers and one.searchers.missing)


def _time_of_notice(one: Incident) -> str | None:
    # Where nobody noted a first sign, the decision is the first moment at which somebody surely knew.
    return one.timeline.detected or one.timeline.decided


def _time_of_recovery(one: Incident) -> str | None:
    return one.timeline.acknowledged or one.timeline.verified


def _between(first: str | None, last: str | None) -> float | None:
    if first is None or last is None:
        return None
    return max(0.0, (dt.datetime.fromisoformat(last) - dt.datetime.fromisoformat(first)).total_seconds())


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
