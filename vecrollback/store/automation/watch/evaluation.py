"""From measurements to a decision. A pure state machine: it reads nothing but its arguments."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from vecrollback.switching.policy.model import Policy, Rule

Phase = Literal["success", "failure", "inconclusive"]
Kind = Literal["none", "alert", "approve", "rollback"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was measured. `value` None: nothing could be. `sample`: answers, queries or values it rests on.

    `p`: for a difference of two samples, how likely chance alone shows one as large.
    """

    value: float | None
    sample: int = 1
    p: float | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class LiveState:
    """How `live` came to be where it is. Times in seconds since 1970.

    `kind`: of the last move but for new snapshots of the same pair. `overridden`: a person promoted a pair that had
    been rolled back from. `frozen`: why automation may move nothing, empty when it may.
    """

    epoch: int
    pair: str
    moved_at: float
    kind: str
    overridden: bool = False
    frozen: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement of one metric, judged."""

    metric: str
    at: float
    phase: Phase
    value: float | None
    sample: int
    condition: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done. `metrics`: those that failed, with their measurements, the oldest of them first."""

    kind: Kind
    reason: str = ""
    metrics: tuple[Measurement, ...] = ()
    epoch: int = 0

    @property
    def detected(self) -> float | None:
        """When the first of the failed measurements was made."""
        return min((one.at for one in self.metrics), default=None)


@dataclass(slots=True)
class _Memory:
    """What is remembered of one metric: its last measurements, and whether it was reported and not well since.

    `blind`: how often in a row nothing could be measured, or too little; `blind_told`: whether that was reported.
    """

    epoch: int
    recent: list[Measurement] = field(default_factory=list)
    firing: bool = False
    blind: int = 0
    blind_told: bool = False


class Evaluator:
    """Judges readings by a policy. Its memory can be kept and put back, so that another process goes on."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._rules = {rule.name: rule for rule in policy.rules}
        self._memory: dict[str, _Memory] = {}
        self._ordered_in: dict[Kind, int] = {}

    def due(self, at: float) -> list[Rule]:
        """Metrics whose interval is over."""
        return [rule for rule in self._rules.values() if self._wait(rule, at) <= rule.interval * 0.001]

    def due_in(self, at: float) -> float:
        """Seconds until the interval of some metric is over; endless without any."""
        return max(0.0, min((self._wait(rule, at) for rule in self._rules.values()), default=math.inf))

    def step(self, at: float, state: LiveState, readings: Mapping[str, Reading]) -> Decision:
        """Remember the measurements of one moment, and decide."""
        for name, reading in readings.items():
            if rule := self._rules.get(name):
                self._remember(rule, judge(rule, at, reading), state)
        return self._decide(at, state)

    def suspects(self, state: LiveState) -> bool:
        """Whether a metric that may move `live` has failed at least once: a rollback may follow."""
        if not self._policy.automatic or state.frozen or state.overridden or state.kind != "promote":
            return False
        return any(
            one.phase == "failure"
            for rule in self._rules.values()
            if rule.action == "rollback" and (memory := self._memory.get(rule.name)) and memory.epoch == state.epoch
            for one in memory.recent
        )

    def retry(self) -> None:
        """Forget that a rollback was ordered, because it could not be made; the next step may order it again."""
        self._ordered_in.pop("rollback", None)

    def phases(self) -> dict[str, Phase]:
        """How each metric stands by its last measurements."""
        return {name: self._phase(rule) for name, rule in self._rules.items()}

    # -- memory -------------------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, dict[str, Any]]:
        """The memory as plain values, by metric."""
        return {
            name: {
                "epoch": memory.epoch,
                "firing": memory.firing,
                "blind": memory.blind,
                "blind_told": memory.blind_told,
                "ordered": dict(self._ordered_in),
                "recent": [
                    [one.at, one.phase, one.value, one.sample, one.condition, one.said] for one in memory.recent
                ],
            }
            for name, memory in self._memory.items()
        }

    def resume(self, memory_by_metric: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from what `kept` gave, here or in another process."""
        for name, body in memory_by_metric.items():
            recent = [Measurement(name, *row) for row in body["recent"]]
            self._memory[name] = _Memory(
                body["epoch"], recent, body["firing"], body.get("blind", 0), body.get("blind_told", False)
            )
            self._ordered_in |= body["ordered"]

    def _wait(self, rule: Rule, at: float) -> float:
        """Seconds until a metric is to be measured again; none if it was measured in the future: a clock went back."""
        memory = self._memory.get(rule.name)
        last = memory.recent[-1].at if memory and memory.recent else -math.inf
        return rule.interval - (at - last) if last <= at else 0.0

    def _remember(self, rule: Rule, measurement: Measurement, state: LiveState) -> None:
        memory = self._memory.get(rule.name)
        if memory is None or memory.epoch != state.epoch:
            # Another pair, or the same one again by a person's decision: earlier measurements say nothing about it.
            memory = self._memory[rule.name] = _Memory(state.epoch)
        memory.recent = [*memory.recent, measurement][-rule.count :]
        memory.blind = memory.blind + 1 if _saw_nothing(rule, measurement) else 0
        memory.blind_told = memory.blind_told and memory.blind > 0
        if len(memory.recent) == rule.count and all(one.phase == "success" for one in memory.recent):
            memory.firing = False

    # -- deciding -----------------------------------------------------------------------------------------------------

    def _phase(self, rule: Rule) -> Phase:
        memory = self._memory.get(rule.name)
        recent = memory.recent if memory else []
        failures = sum(one.phase == "failure" for one in recent)
        if failures > rule.failure_limit:
            return "failure"
        successes = sum(one.phase == "success" for one in recent)
        return (
            "success" if len(recent) == rule.count and successes >= rule.count - rule.failure_limit else "inconclusive"
        )

    def _decide(self, at: float, state: LiveState) -> Decision:
        failing = [
            rule
            for rule in self._rules.values()
            if self._phase(rule) == "failure" and self._memory[rule.name].epoch == state.epoch
        ]
        if not failing:
            return self._blindness(state)
        movers = [rule for rule in failing if rule.action == "rollback" and not self._held_back(rule, at, state)]
        if movers and self._ordered_in.get("rollback") != state.epoch:
            return self._order("rollback", movers, state)
        fresh = [rule for rule in failing if not self._memory[rule.name].firing]
        askers = [rule for rule in fresh if self._may_ask(rule, state)]
        if askers and self._ordered_in.get("approve") != state.epoch:
            return self._order("approve", askers, state)
        return self._order("alert", fresh, state, self._why_not(fresh, at, state)) if fresh else Decision("none")

    def _blindness(self, state: LiveState) -> Decision:
        """An alert when a metric could not be measured for many rounds: what is not known is not well."""
        blind = [
            rule
            for rule in self._rules.values()
            if (memory := self._memory.get(rule.name))
            and memory.epoch == state.epoch
            and memory.blind >= self._policy.blind_rounds
            and not memory.blind_told
        ]
        if not blind:
            return Decision("none")
        measurements, reasons = [], []
        for rule in blind:
            memory = self._memory[rule.name]
            memory.blind_told = True
            measurements.append(memory.recent[-1])
            why = memory.recent[-1].said or f"{memory.recent[-1].sample} of the {rule.minimum} it needs"
            reasons.append(f"{rule.name} could not be measured {memory.blind} times in a row: {why}")
        return Decision("alert", "the policy is blind: " + "; ".join(reasons), tuple(measurements), state.epoch)

    def _may_ask(self, rule: Rule, state: LiveState) -> bool:
        return rule.action == "approve" and state.kind == "promote"

    def _held_back(self, rule: Rule, at: float, state: LiveState) -> str:
        """Why a metric may not move `live` now; empty when it may."""
        since = at - state.moved_at
        reasons = {
            "the policy is not automatic": not self._policy.automatic,
            f"the store is frozen: {state.frozen}": bool(state.frozen),
            # After any way back only a person goes forward again: that is what keeps it from flip-flopping.
            f"the last move was a {state.kind}": state.kind != "promote",
            "a person promoted this pair although it had been rolled back from": state.overridden,
            "the promote is longer ago than the policy's window": since > self._policy.window,
            "the bake time is not over": rule.speed != "immediate" and since < self._policy.bake,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def _why_not(self, rules: Sequence[Rule], at: float, state: LiveState) -> str:
        reasons = [self._held_back(rule, at, state) for rule in rules if rule.action != "alert"]
        return "; ".join(dict.fromkeys(filter(None, reasons)))

    def _order(self, kind: Kind, rules: Sequence[Rule], state: LiveState, why_not: str = "") -> Decision:
        measurements: list[Measurement] = []
        for rule in rules:
            memory = self._memory[rule.name]
            memory.firing = True
            measurements += [one for one in memory.recent if one.phase == "failure"]
        # Once per epoch: until the pointer has moved, every further step would order the same again.
        if kind in ("rollback", "approve"):
            self._ordered_in[kind] = state.epoch
        sentence = "; ".join(_sentence(rule, self._memory[rule.name].recent) for rule in rules)
        reason = f"{sentence} (nothing moves: {why_not})" if why_not else sentence
        return Decision(kind, reason, tuple(sorted(measurements, key=lambda one: one.at)), state.epoch)


def judge(rule: Rule, at: float, reading: Reading) -> Measurement:
    """One measurement. Nothing measured, or on too little, is inconclusive, never a success."""
    phase: Phase = "inconclusive"
    reading = finite(reading)
    if reading.value is not None and reading.sample >= rule.minimum:
        if rule.failure.holds(reading.value):
            # Large enough for the policy, but chance alone may explain it: neither a failure nor a success.
            phase = "failure" if reading.p is None or reading.p < rule.alpha else "inconclusive"
        elif rule.success is None or rule.success.holds(reading.value):
            phase = "success"
    return Measurement(rule.name, at, phase, reading.value, reading.sample, rule.condition, reading.said)


def finite(reading: Reading) -> Reading:
    """A reading whose numbers every database and JSON can hold: without a value for NaN, the largest for endless."""
    value, p = reading.value, reading.p
    if value is not None and math.isnan(value):
        return replace(reading, value=None, said=reading.said or "it is not a number")
    if value is not None and math.isinf(value):
        reading = replace(reading, value=math.copysign(sys.float_info.max, value))
    return replace(reading, p=1.0) if p is not None and math.isnan(p) else reading


def _saw_nothing(rule: Rule, measurement: Measurement) -> bool:
    """Whether a measurement rests on nothing, or on too little; one that chance may explain has seen something."""
    return measurement.value is None or measurement.sample < rule.minimum


def _sentence(rule: Rule, recent: Sequence[Measurement]) -> str:
    failures = [one for one in recent if one.phase == "failure"]
    worst = failures[-1]
    value = "nothing" if worst.value is None else f"{worst.value:.4g}"
    if worst.value is not None and abs(worst.value) == sys.float_info.max:
        value = "endless"
    return f"{rule.name} {value} {rule.condition} in {len(failures)} of {len(recent)} measurements"
