"""A policy against a recording: what it would have decided, and when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecrollback.errors import UsageError
from vecrollback.store.automation.watch.evaluation import Decision, Evaluator, LiveState, Reading
from vecrollback.switching.policy.model import Policy

_EVENTS = ("promote", "rollback", "restore")


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`decisions`: (seconds since 1970, decision), alerts included. `readings`: values taken in; `unknown`: names of
    recorded metrics that the policy does not have; `silent`: metrics of the policy that the recording does not have.
    """

    decisions: tuple[tuple[float, Decision], ...]
    readings: int
    unknown: tuple[str, ...]
    silent: tuple[str, ...]

    @property
    def rollback_at(self) -> float | None:
        return next((at for at, decision in self.decisions if decision.kind == "rollback"), None)


def replay(policy: Policy, recorded: Path) -> ReplayResult:
    """Judge a recording. Each line is `{"at", "metric", "value", "sample", "p"}`, or `{"at", "event": "promote"}`.

    Lines of one time are one step. After a rollback that the policy would have ordered, nothing moves any more until
    the recording has a promote, as in life. Raises UsageError naming the line.
    """
    evaluator, decisions = Evaluator(policy), list[tuple[float, Decision]]()
    names = {rule.name for rule in policy.rules}
    metrics, readings = set[str](), 0
    state: LiveState | None = None
    for at, events, values in _steps(_lines(recorded)):
        for event in events:
            state = LiveState(state.epoch + 1 if state else 1, "recorded", at, event)
        state = state or LiveState(1, "recorded", at, "promote")
        metrics |= values.keys()
        readings += len(values)
        decision = evaluator.step(at, state, values)
        if decision.kind != "none":
            decisions.append((at, decision))
        if decision.kind == "rollback":
            state = LiveState(state.epoch + 1, "recorded", at, "rollback")
    return ReplayResult(tuple(decisions), readings, tuple(sorted(metrics - names)), tuple(sorted(names - metrics)))


def _steps(lines: Iterable[dict[str, Any]]) -> Iterator[tuple[float, list[str], dict[str, Reading]]]:
    at: float | None = None
    events, values = list[str](), dict[str, Reading]()
    for line in lines:
        if at is not None and line["at"] != at:
            yield at, events, values
            events, values = [], {}
        at = line["at"]
        if "event" in line:
            events.append(line["event"])
        else:
            values[line["metric"]] = Reading(line["value"], int(line.get("sample", 1 << 30)), line.get("p"))
    if at is not None:
        yield at, events, values


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    last = float("-inf")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            row["at"] = float(row["at"])
            _require(row)
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{path}:{number}: not a recorded measurement: {error}", hint=_HINT) from error
        if row["at"] < last:
            raise UsageError(f"{path}:{number}: earlier than the line before", hint="sort the recording by `at`")
        last = row["at"]
        yield row


_HINT = '{"at": 1769860800.0, "metric": "errors", "value": 0.01, "sample": 120}, or {"at": ..., "event": "promote"}'


def _require(row: dict[str, Any]) -> None:
    if "event" in row:
        if row["event"] not in _EVENTS:
            raise ValueError(f"unknown event {row['event']!r}")
        return
    value = row["value"]
    if not isinstance(row["metric"], str) or (value is not None and not isinstance(value, int | float)):
        raise ValueError("`metric` is a name and `value` a number or null")
