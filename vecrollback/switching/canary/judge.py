"""What a canary's observations say: better, worse, or not enough yet."""

from __future__ import annotations

from collections.abc import Mapping

from vecrollback.records import Judgement, Observation, Standing
from vecrollback.switching.canary.sequential import difference_bounds, mean_bounds
from vecrollback.switching.canary.settings import CanarySettings

LIVE_OUTCOME, CANARY_OUTCOME = "live_outcome", "canary_outcome"


def judge(seen: Mapping[str, Observation], policy: CanarySettings) -> tuple[Judgement, ...]:
    """One judgement for each thing asked: likeness in shadow, failures always, outcomes where callers push them.

    Each may be wrong with the policy's `alpha`, however often it is looked at.
    """
    asked = [_failures(seen, policy)]
    if policy.shadow > 0:
        asked.append(_likeness(seen, policy))
    if LIVE_OUTCOME in seen or CANARY_OUTCOME in seen:
        asked.append(_outcomes(seen, policy))
    return tuple(asked)


def _likeness(seen: Mapping[str, Observation], policy: CanarySettings) -> Judgement:
    found = seen.get("overlap", Observation())
    low, high = mean_bounds(found.count, found.total, alpha=policy.alpha)
    standing = _standing(good=low >= policy.min_overlap, bad=high < policy.min_overlap)
    return _said("overlap", standing, low, high, found.count, f"at least {policy.min_overlap:g} is wanted")


def _failures(seen: Mapping[str, Observation], policy: CanarySettings) -> Judgement:
    found = seen.get("failed", Observation())
    low, high = mean_bounds(found.count, found.total, alpha=policy.alpha)
    standing = _standing(good=high <= policy.max_failures, bad=low > policy.max_failures)
    return _said("failures", standing, low, high, found.count, f"at most {policy.max_failures:g} are allowed")


def _outcomes(seen: Mapping[str, Observation], policy: CanarySettings) -> Judgement:
    live, canary = (seen.get(name, Observation()) for name in (LIVE_OUTCOME, CANARY_OUTCOME))
    sums = (live.count, live.total), (canary.count, canary.total)
    low, high = difference_bounds(*sums, alpha=policy.alpha)
    standing = _standing(good=low >= -policy.margin, bad=high < 0)
    counted = min(live.count, canary.count)
    return _said("outcome", standing, low, high, counted, f"the canary's minus live's; {-policy.margin:g} is tolerated")


def _standing(*, good: bool, bad: bool) -> Standing:
    return "better" if good else "worse" if bad else "undecided"


def _said(measure: str, standing: Standing, low: float, high: float, count: int, wanted: str) -> Judgement:
    sentence = f"{measure} lies between {low:+.3f} and {high:+.3f} after {count:,}; {wanted}"
    return Judgement(measure, standing, low, high, count, sentence)
