"""What a canary's observations say: better, worse, or not enough yet."""

from __future__ import annotations

from collections.abc import Mapping

from vecrollback.records import Judgement, Observation, Standing
from vecrollback.switching.canary.sequential import difference_bounds, mean_bounds
from vecrollback.switching.canary.settings import CanarySettings

LIVE_OUTCOME, CANARY_OUTCOME = "live_outcome", "canary_outcome"


def judge(observations: Mapping[str, Observation], policy: CanarySettings) -> tuple[Judgement, ...]:
    """One judgement for each thing asked: likeness in shadow, failures always, outcomes where callers push them.

    Each may be wrong with the policy's `alpha`, however often it is looked at.
    """
    judgements = [_failures(observations, policy)]
    if policy.shadow > 0:
        judgements.append(_likeness(observations, policy))
    if LIVE_OUTCOME in observations or CANARY_OUTCOME in observations:
        judgements.append(_outcomes(observations, policy))
    return tuple(judgements)


def _likeness(observations: Mapping[str, Observation], policy: CanarySettings) -> Judgement:
    overlap = observations.get("overlap", Observation())
    low, high = mean_bounds(overlap.count, overlap.total, alpha=policy.alpha)
    standing = _standing(good=low >= policy.min_overlap, bad=high < policy.min_overlap)
    return _judgement("overlap", standing, low, high, overlap.count, f"at least {policy.min_overlap:g} is wanted")


def _failures(observations: Mapping[str, Observation], policy: CanarySettings) -> Judgement:
    failures = observations.get("failed", Observation())
    low, high = mean_bounds(failures.count, failures.total, alpha=policy.alpha)
    standing = _standing(good=high <= policy.max_failures, bad=low > policy.max_failures)
    return _judgement("failures", standing, low, high, failures.count, f"at most {policy.max_failures:g} are allowed")


def _outcomes(observations: Mapping[str, Observation], policy: CanarySettings) -> Judgement:
    live, canary = (observations.get(name, Observation()) for name in (LIVE_OUTCOME, CANARY_OUTCOME))
    sums = (live.count, live.total), (canary.count, canary.total)
    low, high = difference_bounds(*sums, alpha=policy.alpha)
    standing = _standing(good=low >= -policy.margin, bad=high < 0)
    pairs_of_values = min(live.count, canary.count)
    return _judgement(
        "outcome", standing, low, high, pairs_of_values, f"the canary's minus live's; {-policy.margin:g} is tolerated"
    )


def _standing(*, good: bool, bad: bool) -> Standing:
    return "better" if good else "worse" if bad else "undecided"


def _judgement(measure: str, standing: Standing, low: float, high: float, count: int, goal: str) -> Judgement:
    sentence = f"{measure} lies between {low:+.3f} and {high:+.3f} after {count:,}; {goal}"
    return Judgement(measure, standing, low, high, count, sentence)
