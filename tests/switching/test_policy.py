"""A policy: what it may say, and what it decides on what was measured.

Covers switching.policy.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecrollback.errors import UsageError
from vecrollback.store.automation.watch.evaluation import Decision, Evaluator, LiveState, Reading
from vecrollback.store.automation.watch.replay import replay
from vecrollback.switching.policy import Policy, read_policy

PROMOTED = LiveState(epoch=7, pair="v2", moved_at=1000.0, kind="promote")
BAD, GOOD, NONE = Reading(0.5, 100), Reading(0.0, 100), Reading(None, 0)


def policy(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return read_policy(path)


@pytest.fixture
def errors(tmp_path: Path) -> Policy:
    """Three measurements, of which one may fail; 60 s of bake, an hour's window."""
    text = "bake = '60s'\nwindow = '1h'\n[[metric]]\nsource = 'error_rate'\nname = 'errors'\n"
    return policy(tmp_path, text)


def run(evaluator: Evaluator, *readings: Reading, start: float = 1100.0, state: LiveState = PROMOTED) -> list[str]:
    return [one.kind for one in decisions(evaluator, *readings, start=start, state=state)]


def decisions(
    evaluator: Evaluator, *readings: Reading, start: float = 1100.0, state: LiveState = PROMOTED
) -> list[Decision]:
    rule = next(iter(evaluator._rules))
    return [evaluator.step(start + 10 * n, state, {rule: reading}) for n, reading in enumerate(readings)]


# -- deciding ---------------------------------------------------------------------------------------------------------


def test_more_failures_than_the_limit_roll_back_once(errors: Policy) -> None:
    assert run(Evaluator(errors), BAD, GOOD, BAD, BAD, BAD) == ["none", "none", "rollback", "none", "none"]


def test_a_metric_that_cannot_be_measured_is_an_alert_with_its_reason_once(tmp_path: Path) -> None:
    read = policy(tmp_path, "blind_rounds = 4\n[[metric]]\nsource = 'error_rate'\nminimum = 5\n")
    evaluator = Evaluator(read)
    nothing, little = Reading(None, 0, said="sampled 0 of 700 queries"), Reading(0.0, 4)
    made = decisions(evaluator, nothing, nothing, little, nothing, nothing)
    assert [one.kind for one in made] == ["none", "none", "none", "alert", "none"]
    assert made[3].reason == (
        "the policy is blind: error_rate could not be measured 4 times in a row: sampled 0 of 700 queries"
    )
    resumed = Evaluator(read)
    resumed.resume(json.loads(json.dumps(evaluator.kept())))
    assert run(resumed, nothing, nothing, start=1200.0) == ["none", "none"]
    assert run(resumed, GOOD, little, little, little, little, start=1300.0) == ["none"] * 4 + ["alert"]


def test_what_was_kept_before_blindness_was_counted_still_resumes(errors: Policy) -> None:
    evaluator = Evaluator(errors)
    run(evaluator, BAD)
    kept = evaluator.kept()
    for body in kept.values():
        del body["blind"], body["blind_told"]
    resumed = Evaluator(errors)
    resumed.resume(kept)
    assert run(resumed, BAD, start=1110.0) == ["rollback"]


def test_the_decision_names_what_was_measured_and_when_it_was_first_seen(errors: Policy) -> None:
    decision = decisions(Evaluator(errors), GOOD, BAD, BAD)[-1]
    assert decision.reason == "errors 0.5 > 0.05 in 2 of 3 measurements"
    assert decision.detected == 1110.0
    assert [one.value for one in decision.metrics] == [0.5, 0.5]
    assert decision.epoch == 7


def test_missing_data_is_inconclusive_and_never_a_success(errors: Policy) -> None:
    evaluator = Evaluator(errors)
    assert run(evaluator, *[NONE] * 9, *[Reading(float("nan"), 100)] * 9) == ["none"] * 18
    assert evaluator.phases() == {"errors": "inconclusive"}
    run(evaluator, GOOD, GOOD, GOOD, start=2000)
    assert evaluator.phases() == {"errors": "success"}


def test_too_few_answers_are_inconclusive_however_bad(errors: Policy) -> None:
    evaluator = Evaluator(errors)
    assert run(evaluator, *[Reading(1.0, 19)] * 5) == ["none"] * 5
    assert evaluator.phases() == {"errors": "inconclusive"}


def test_a_difference_that_chance_may_have_made_is_no_failure(tmp_path: Path) -> None:
    rule = policy(tmp_path, "[[metric]]\nsource = 'scores'\naction = 'rollback'")
    assert run(Evaluator(rule), *[Reading(0.9, 100, p=0.02)] * 5, start=1100) == ["none"] * 5
    assert "rollback" in run(Evaluator(rule), *[Reading(0.9, 100, p=0.0001)] * 5, start=1100)


def test_between_success_and_failure_nothing_is_concluded(tmp_path: Path) -> None:
    text = "[[metric]]\nsource = 'error_rate'\nfailure = '> 10%'\nsuccess = '< 1%'"
    evaluator = Evaluator(policy(tmp_path, text))
    run(evaluator, *[Reading(0.05, 100)] * 5)
    assert evaluator.phases() == {"error_rate": "inconclusive"}


@pytest.mark.parametrize(
    ("state", "at"),
    [
        (LiveState(7, "v2", 1000.0, "rollback"), 1100.0),
        (LiveState(7, "v2", 1000.0, "restore"), 1100.0),
        (LiveState(7, "v2", 1000.0, "promote", overridden=True), 1100.0),
        (LiveState(7, "v2", 1000.0, "promote", frozen="a release day"), 1100.0),
        (LiveState(7, "v2", 1000.0, "promote"), 1000.0 + 3601),
    ],
    ids=["after a rollback", "after a restore", "overridden by a person", "frozen", "past the window"],
)
def test_automation_holds_back_and_tells_people_once(errors: Policy, state: LiveState, at: float) -> None:
    decided = decisions(Evaluator(errors), *[BAD] * 6, start=at, state=state)
    assert [one.kind for one in decided] == ["none", "alert", "none", "none", "none", "none"]
    assert "nothing moves" in decided[1].reason


def test_only_immediate_metrics_move_within_the_bake_time(tmp_path: Path) -> None:
    rule = policy(tmp_path, "bake = '60s'\n[[metric]]\nsource = 'overlap'\naction = 'rollback'")
    bad = [Reading(0.1, 100)] * 4
    assert run(Evaluator(rule), *bad, start=1005) == ["none", "alert", "none", "none"]
    assert run(Evaluator(rule), *bad, start=1035) == ["none", "alert", "none", "rollback"]
    immediate = policy(tmp_path, "bake = '60s'\n[[metric]]\nsource = 'error_rate'")
    assert run(Evaluator(immediate), BAD, BAD, start=1005) == ["none", "rollback"]


def test_a_policy_that_is_not_automatic_only_tells(tmp_path: Path) -> None:
    rule = policy(tmp_path, "automatic = false\n[[metric]]\nsource = 'error_rate'")
    assert run(Evaluator(rule), *[BAD] * 4) == ["none", "alert", "none", "none"]


def test_business_metrics_ask_and_slow_ones_tell(tmp_path: Path) -> None:
    business = policy(tmp_path, "[[metric]]\nsource = 'pushed'\nkey = 'clicks'\nfailure = '< 0.2'")
    assert run(Evaluator(business), *[Reading(0.1, 9)] * 4) == ["none", "approve", "none", "none"]
    slow = policy(tmp_path, "[[metric]]\nsource = 'lag'")
    assert run(Evaluator(slow), *[Reading(20_000)] * 3) == ["alert", "none", "none"]


def test_a_request_that_waits_keeps_no_rollback_from_being_ordered(tmp_path: Path) -> None:
    text = "bake = '1ms'\n[[metric]]\nsource = 'pushed'\nkey = 'clicks'\nfailure = '< 0.2'\n"
    text += "[[metric]]\nsource = 'error_rate'"
    evaluator = Evaluator(policy(tmp_path, text))
    few = {"pushed": Reading(0.1, 9), "error_rate": GOOD}
    assert [evaluator.step(1100.0 + n, PROMOTED, few).kind for n in range(3)] == ["none", "approve", "none"]
    assert [evaluator.step(1110.0 + n, PROMOTED, {"error_rate": BAD}).kind for n in range(2)] == ["none", "rollback"]


def test_an_alert_comes_again_only_after_the_metric_was_well(tmp_path: Path) -> None:
    slow = policy(tmp_path, "[[metric]]\nsource = 'lag'")
    readings = [Reading(20_000), Reading(20_000), Reading(None, 0), Reading(20_000), Reading(5), Reading(20_000)]
    assert run(Evaluator(slow), *readings) == ["alert", "none", "none", "none", "none", "alert"]


def test_a_move_makes_what_was_seen_before_it_count_nothing(errors: Policy) -> None:
    evaluator = Evaluator(errors)
    run(evaluator, BAD)
    again = LiveState(8, "v3", 1110.0, "promote")
    assert run(evaluator, BAD, start=1120, state=again) == ["none"]
    assert run(evaluator, BAD, start=1130, state=again) == ["rollback"]


def test_another_process_goes_on_where_one_stopped(errors: Policy) -> None:
    first, second = Evaluator(errors), Evaluator(errors)
    run(first, BAD)
    second.resume(json.loads(json.dumps(first.kept())))
    assert run(second, BAD, start=1110) == ["rollback"]
    third = Evaluator(errors)
    third.resume(json.loads(json.dumps(second.kept())))
    assert run(third, BAD, BAD, start=1130) == ["none", "none"]
    third.retry()
    assert run(third, BAD, start=1150) == ["rollback"]


def test_a_metric_is_measured_at_its_own_interval(tmp_path: Path) -> None:
    text = "interval = '10s'\n[[metric]]\nsource = 'lag'\ninterval = '1m'\n[[metric]]\nsource = 'error_rate'"
    evaluator = Evaluator(policy(tmp_path, text))
    evaluator.step(1000.0, PROMOTED, {"lag": GOOD, "error_rate": GOOD})
    assert [rule.name for rule in evaluator.due(1010.0)] == ["error_rate"]
    assert [rule.name for rule in evaluator.due(1060.0)] == ["lag", "error_rate"]


def test_after_a_clock_that_went_back_everything_is_measured_at_once(errors: Policy) -> None:
    evaluator = Evaluator(errors)
    evaluator.step(5000.0, PROMOTED, {"errors": BAD})
    assert evaluator.due(1400.0) != []
    assert evaluator.due_in(1400.0) == 0.0
    assert run(evaluator, BAD, start=1400.0) == ["rollback"]
    assert evaluator.due(1400.0) == []


@pytest.mark.parametrize(
    ("reading", "phase", "kept"),
    [
        (Reading(math.nan, 100), "inconclusive", None),
        (Reading(math.inf, 100), "failure", sys.float_info.max),
        (Reading(-math.inf, 100), "success", -sys.float_info.max),
        (Reading(0.5, 100, p=math.nan), "inconclusive", 0.5),
    ],
)
def test_numbers_that_json_does_not_have_are_judged_and_kept_as_it_has_them(
    errors: Policy, reading: Reading, phase: str, kept: float | None
) -> None:
    evaluator = Evaluator(errors)
    evaluator.step(1100.0, PROMOTED, {"errors": reading})
    [[_, judged, value, *_]] = evaluator.kept()["errors"]["recent"]
    assert (judged, value) == (phase, kept)
    assert json.loads(json.dumps(evaluator.kept(), allow_nan=False)) == evaluator.kept()


def test_a_value_without_end_is_told_in_words(errors: Policy) -> None:
    endless = Reading(math.inf, 100)
    assert decisions(Evaluator(errors), endless, endless)[-1].reason.startswith("errors endless > ")


@given(st.lists(st.tuples(st.sampled_from(["bad", "good", "none"]), st.booleans()), max_size=60))
def test_whatever_is_measured_it_moves_at_most_once_for_each_promote(steps: list[tuple[str, bool]]) -> None:
    evaluator = Evaluator(Policy(rules=_RULES, bake=0.001))
    state, at, moved, promotes = PROMOTED, 1100.0, 0, 1
    for reading, promote in steps:
        at += 10
        if promote:
            state, promotes = LiveState(state.epoch + 1, "v", at - 1, "promote"), promotes + 1
        decision = evaluator.step(at, state, {"error_rate": {"bad": BAD, "good": GOOD, "none": NONE}[reading]})
        if decision.kind == "rollback":
            assert state.kind == "promote"
            moved += 1
            state = LiveState(state.epoch + 1, "v", at, "rollback")
    assert moved <= promotes


def _rules() -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return policy(Path(folder), "[[metric]]\nsource = 'error_rate'").rules


_RULES = _rules()


# -- reading ----------------------------------------------------------------------------------------------------------


def test_a_policy_without_metrics_has_the_built_in_ones(tmp_path: Path) -> None:
    names = [rule.name for rule in policy(tmp_path, "").rules]
    assert names == ["error_rate", "health", "standout", "overlap", "purity", "lag"]
    with_latency = policy(tmp_path, "[objectives]\nlatency = '50ms'")
    assert [rule.name for rule in with_latency.rules][-1] == "latency"
    assert with_latency.objectives.latency == 0.05


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("intervall = '10s'", "unknown key 'intervall'"),
        ("interval = 'soon'", "not a valid duration"),
        ("interval = '0s'", "not a valid duration"),
        ("automatic = 'yes'", "not a valid bool"),
        ("[[metric]]\nsource = 'vibes'", "its source is 'vibes'"),
        ("[[metric]]\nsource = 'lag'\nfailure = 'a lot'", "not a valid condition"),
        ("[[metric]]\nsource = 'lag'\naction = 'rollback'", "a delayed metric cannot 'rollback'"),
        ("[[metric]]\nsource = 'pushed'\nkey = 'x'\nfailure = '< 1'\naction = 'rollback'", "a business metric cannot"),
        ("[[metric]]\nsource = 'pushed'\nfailure = '< 1'", "needs 'key'"),
        ("[[metric]]\nsource = 'prometheus'\nquery = 'up'\nfailure = '< 1'", "needs 'address'"),
        ("[[metric]]\nsource = 'cost'", "nothing says when it fails"),
        ("[[metric]]\nsource = 'latency'", "a latency objective is missing"),
        ("[[metric]]\nsource = 'lag'\n[[metric]]\nsource = 'lag'", "two metrics are named 'lag'"),
        ("[[metric]]\nsource = 'error_rate'\ncount = 1", "cannot fail more than 1 times"),
        ("[[metric]]\nsource = 'error_rate'\ncount = -1", "less than nothing"),
        ("[[metric]]\nsource = 'scores'\nstatistic = 'vibes'", "its statistic is 'vibes'"),
        ("[[notify]]\nkind = 'pigeon'", "its kind is 'pigeon'"),
        ("[[notify]]\nkind = 'webhook'", "needs 'url'"),
        ("[[notify]]\nkind = 'command'\ncommand = ['true']\nevents = ['lunch']", "'lunch' is not a valid event"),
        ("metric = 3", "not a list of tables"),
        ("objectives = 3", "it is not a table"),
        ("= 3", "not valid TOML"),
    ],
)
def test_a_mistake_is_refused_with_its_place_and_the_cure(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        policy(tmp_path, text)
    assert str(tmp_path / "policy.toml") in refused.value.message


def test_the_same_policy_stands_under_its_name_in_the_settings_file(tmp_path: Path) -> None:
    alone = policy(tmp_path, "bake = '5m'\n[[metric]]\nsource = 'lag'\n[objectives]\nswitch = '30s'")
    text = "[policy]\nbake = '5m'\n[[policy.metric]]\nsource = 'lag'\n[policy.objectives]\nswitch = '30s'"
    assert policy(tmp_path, text) == alone


# -- replaying --------------------------------------------------------------------------------------------------------


def recording(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "recorded.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_replay_tells_when_it_would_have_rolled_back(tmp_path: Path, errors: Policy) -> None:
    rows = [{"at": 1000.0, "event": "promote"}]
    rows += [{"at": 1100.0 + 10 * n, "metric": "errors", "value": 0.2 if n > 3 else 0.0} for n in range(30)]
    rows += [{"at": 1400.0, "metric": "other", "value": 1}]
    found = replay(errors, recording(tmp_path, *rows))
    assert found.rollback_at == 1150.0
    assert [decision.kind for _, decision in found.decisions] == ["rollback", "alert"]
    assert (found.readings, found.unknown, found.silent) == (31, ("other",), ())


@pytest.mark.parametrize(
    "row",
    [
        {"metric": "errors", "value": 1},
        {"at": 1, "metric": "errors"},
        {"at": 1, "event": "lunch"},
        {"at": "x", "metric": "errors", "value": 1},
        {"at": 1, "metric": "errors", "value": "much"},
        [],
    ],
)
def test_a_recording_that_is_none_is_refused_with_its_line(tmp_path: Path, errors: Policy, row: Any) -> None:
    with pytest.raises(UsageError, match=r"recorded\.jsonl:2"):
        replay(errors, recording(tmp_path, {"at": 0, "event": "promote"}, row))
